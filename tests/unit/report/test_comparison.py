import plotly.graph_objects as go
import pytest

from sweep.evaluation.result import ClassScores, Evaluation, PrecisionRecall, Scores
from sweep.report.figures.comparison import Pair, comparison, draw_classes
from sweep.report.figures.confusion import confusion, draw_confusion
from sweep.report.figures.precision_recall import draw_precision_recall, precision_recall
from sweep.report.trials import MAP50


def judged(ap50: float, map50_95: float) -> Evaluation:
    absent = ClassScores(name="other", boxes=0, ap50=None, ap=None, coco_ap50=None, coco_ap=None)
    paper = ClassScores(
        name="paper", boxes=4, ap50=ap50, ap=map50_95, coco_ap50=ap50, coco_ap=map50_95
    )
    return Evaluation(
        split="test",
        images=3,
        checkpoint="best.pt",
        classes=("paper", "other"),
        ultralytics=Scores(map50=ap50, map50_95=map50_95),
        precision=0.5,
        recall=0.25,
        coco=Scores(map50=ap50 - 0.01, map50_95=map50_95 - 0.01),
        per_class=(paper, absent),
        confusion=((3, 0, 1), (0, 0, 0), (1, 0, 0)),
        confusion_confidence=0.25,
        curves=(PrecisionRecall(name="paper", recall=(0.0, 1.0), precision=(1.0, 0.0)),),
        predictions="predictions.json",
    )


def test_scores_of_both_judges_with_differences():
    found = comparison({"baseline": judged(0.20, 0.1), "best": judged(0.37, 0.3)})

    assert [
        (score.name, score.judge, pytest.approx(score.pair.difference)) for score in found.scores
    ] == [
        ("mAP50", "Ultralytics", 0.17),
        ("mAP50", "pycocotools", 0.17),
        ("mAP50-95", "Ultralytics", 0.2),
        ("mAP50-95", "pycocotools", 0.2),
        ("precision", "Ultralytics", 0.0),
        ("recall", "Ultralytics", 0.0),
    ]
    assert found.images == 3


def test_a_class_without_boxes_has_no_score_and_no_bar():
    found = comparison({"baseline": judged(0.20, 0.1), "best": judged(0.37, 0.3)})

    assert found.classes[0].map50 == Pair(baseline=0.20, best=0.37)
    assert found.classes[1].map50.difference is None
    drawing = draw_classes(found, MAP50)
    assert [(bar.name, tuple(bar.x), tuple(bar.y)) for bar in drawing.data] == [
        ("baseline", (0,), (0.20,)),
        ("best", (0,), (0.37,)),
    ]
    assert drawing.layout.xaxis.ticktext == ("paper",)


def test_of_hundreds_of_classes_those_with_the_widest_gap_have_bars():
    one = judged(0.2, 0.1)
    names = tuple(f"class {place}" for place in range(200))

    def many(ap50: float) -> Evaluation:
        scores = [
            one.per_class[0].model_copy(update={"name": name, "ap50": ap50 * place / 200})
            for place, name in enumerate(names)
        ]
        return one.model_copy(update={"per_class": tuple(scores), "classes": names})

    drawing = draw_classes(comparison({"baseline": many(0.1), "best": many(0.9)}), MAP50)

    assert list(drawing.data[0].customdata) == list(names[-30:])
    assert drawing.layout.title.text == "AP50 by class, 30 with the widest gap"


def test_a_matrix_of_hundreds_of_classes_stays_small_and_readable():
    size = 300
    matrix = tuple(
        tuple(int(row == column) for column in range(size + 1)) for row in range(size + 1)
    )
    found = judged(0.2, 0.1).model_copy(
        update={"classes": tuple(f"{'long ' * 12}{n}" for n in range(size)), "confusion": matrix}
    )

    drawing = draw_confusion(confusion(found), "Confusion")

    assert len(drawing.layout.xaxis.ticktext) <= 40
    assert max(map(len, drawing.layout.xaxis.ticktext)) <= 24
    assert len(drawing.to_json()) < 2_000_000


def test_one_model_alone_is_shown_without_a_difference():
    found = comparison({"best": judged(0.37, 0.3)})

    assert found.scores[0].pair == Pair(baseline=None, best=0.37)
    assert found.scores[0].pair.difference is None
    assert len(draw_classes(found, MAP50).data) == 1
    assert comparison({}) is None


def test_confusion_is_normalized_by_true_class():
    found = confusion(judged(0.2, 0.1))

    assert found.labels == ("paper", "other", "background")
    assert found.shares == ((0.75, None, 1.0), (0.0, None, 0.0), (0.25, None, 0.0))
    drawing = draw_confusion(found, "Confusion")
    assert [(note.x, note.y, note.text) for note in drawing.layout.annotations] == [
        (0, 0, "3"),
        (2, 0, "1"),
        (0, 2, "1"),
    ]


def test_precision_recall_has_a_curve_for_each_class_with_boxes():
    (curve,) = precision_recall(judged(0.2, 0.1))

    assert (curve.name, curve.ap50, curve.index) == ("paper", 0.2, 0)
    drawing = draw_precision_recall((curve,), "Precision-recall")
    assert isinstance(drawing, go.Figure)
    assert drawing.data[0].name == "paper 0.200"
