import pytest

from sweep.evaluation.coco import coco_precision


def test_perfect_predictions_score_one(truth, found):
    boxes = {1: [(0, 10, 10, 100, 100), (1, 300, 300, 50, 50)], 2: [(1, 0, 0, 20, 20)]}
    predictions = {image: [(*box, 0.9) for box in row] for image, row in boxes.items()}

    precision = coco_precision(truth(boxes, 2), found(predictions), 2)

    assert precision.ap50 == pytest.approx((1.0, 1.0))
    assert precision.ap == pytest.approx((1.0, 1.0))
    assert precision.scores.map50_95 == pytest.approx(1.0)


def test_half_of_the_boxes_found_is_51_of_101_recall_points(truth, found):
    boxes = {1: [(0, 10, 10, 100, 100), (0, 300, 300, 50, 50)]}

    precision = coco_precision(truth(boxes, 1), found({1: [(0, 10, 10, 100, 100, 0.9)]}), 1)

    assert precision.ap50[0] == pytest.approx(51 / 101)


def test_an_overlap_of_072_counts_at_five_of_ten_thresholds(truth, found):
    boxes = {1: [(0, 0, 0, 100, 100)]}

    precision = coco_precision(truth(boxes, 1), found({1: [(0, 0, 0, 72, 100, 0.9)]}), 1)

    assert precision.ap50[0] == pytest.approx(1.0)
    assert precision.ap[0] == pytest.approx(0.5)


def test_a_false_box_of_higher_confidence_halves_the_precision(truth, found):
    boxes = {1: [(0, 0, 0, 100, 100)]}
    predictions = {1: [(0, 400, 400, 50, 50, 0.9), (0, 0, 0, 100, 100, 0.5)]}

    precision = coco_precision(truth(boxes, 1), found(predictions), 1)

    assert precision.ap50[0] == pytest.approx(0.5)


def test_a_class_without_a_box_has_no_score_and_does_not_pull_the_mean_down(truth, found):
    boxes = {1: [(0, 0, 0, 100, 100)]}
    predictions = {1: [(0, 0, 0, 100, 100, 0.9), (1, 0, 0, 100, 100, 0.9)]}

    precision = coco_precision(truth(boxes, 3), found(predictions), 3)

    assert precision.ap50 == (pytest.approx(1.0), None, None)
    assert precision.scores.map50 == pytest.approx(1.0)


def test_no_predictions_score_zero(truth):
    precision = coco_precision(truth({1: [(0, 0, 0, 10, 10)], 2: []}, 2), [], 2)

    assert precision.ap50 == (0.0, None)
    assert precision.scores.map50_95 == 0.0


def test_it_prints_nothing_and_leaves_its_input_alone(truth, found, capsys):
    annotations = truth({1: [(0, 0, 0, 10, 10)]}, 1)
    before = [dict(annotation) for annotation in annotations["annotations"]]

    coco_precision(annotations, found({1: [(0, 0, 0, 10, 10, 0.9)]}), 1)

    assert annotations["annotations"] == before
    assert capsys.readouterr().out == ""
