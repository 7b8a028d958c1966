from sweep.evaluation.confusion import confusion_matrix


def test_pairs_missed_boxes_and_false_boxes_are_counted_where_they_belong(truth, found):
    boxes = {
        1: [(0, 0, 0, 100, 100), (1, 200, 200, 100, 100), (1, 400, 400, 100, 100)],
        2: [(0, 0, 0, 50, 50)],
        3: [],
    }
    predictions = {
        1: [(0, 0, 0, 100, 100, 0.9), (0, 200, 200, 100, 100, 0.8)],  # right; 1 taken for 0
        3: [(1, 10, 10, 30, 30, 0.7)],  # nothing there
    }

    assert confusion_matrix(truth(boxes, 2), found(predictions), 2) == (
        (1, 1, 0),
        (0, 0, 1),
        (1, 1, 0),
    )


def test_boxes_of_low_confidence_or_little_overlap_do_not_match(truth, found):
    boxes = {1: [(0, 0, 0, 100, 100)], 2: [(0, 0, 0, 100, 100)]}
    predictions = {1: [(0, 0, 0, 100, 100, 0.25)], 2: [(0, 0, 0, 44, 100, 0.9)]}

    assert confusion_matrix(truth(boxes, 1), found(predictions), 1) == ((0, 1), (2, 0))


def test_two_boxes_cannot_claim_one_truth(truth, found):
    boxes = {1: [(0, 0, 0, 100, 100)]}
    predictions = {1: [(0, 0, 0, 100, 90, 0.6), (0, 0, 0, 100, 100, 0.5)]}

    assert confusion_matrix(truth(boxes, 1), found(predictions), 1) == ((1, 1), (0, 0))


def test_no_predictions_miss_everything(truth):
    assert confusion_matrix(truth({1: [(0, 0, 0, 9, 9)]}, 1), [], 1) == ((0, 0), (1, 0))
