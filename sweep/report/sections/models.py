"""What the page shows of the retrained models: training, test scores, pictures."""

from collections.abc import Iterable, Sequence
from typing import Any

from sweep.pages import theme
from sweep.pages.table import Cell, Table, number
from sweep.report.data import ReportData
from sweep.report.figures.comparison import ClassScore, Pair, Score, comparison, draw_classes
from sweep.report.figures.confusion import confusion, draw_confusion
from sweep.report.figures.curves import draw_panel, retrain_panels
from sweep.report.figures.gallery import Gallery, Picture, describe, errors_of, gallery
from sweep.report.figures.labelling import of_model, of_truth, photo
from sweep.report.figures.precision_recall import draw_precision_recall, precision_recall
from sweep.report.trials import METRICS
from sweep.stages.retrain import BASELINE, BEST

_MANY_CLASSES = 20
"""From where on a table of them can be filtered."""


def retrain_section(data: ReportData) -> dict[str, Any] | None:
    """Return scores and losses of both retrainings over epochs; None before the first epoch."""
    panels = retrain_panels([run.trial for run in data.retrained])
    if not panels:
        return None
    return {
        "lines": [
            ("baseline", theme.MUTED, "solid"),
            ("best", theme.ACCENT, "solid"),
            ("loss on the validation split", theme.INK, "dotted"),
        ],
        "panels": panels,
        "draw": draw_panel,
    }


def score_table(scores: Iterable[Score], caption: str) -> Table:
    """Return scores of both models with their difference."""
    return Table(
        head=["score", "difference", BASELINE, BEST, "judge"],
        rows=[
            [score.name, _difference(score.pair), *_numbers(score.pair), score.judge]
            for score in scores
        ],
        caption=caption,
    )


def _difference(pair: Pair) -> Cell:
    return number(pair.difference, signed=True)


def _numbers(pair: Pair) -> tuple[Cell, Cell]:
    return number(pair.baseline), number(pair.best)


def judgement_section(data: ReportData) -> dict[str, Any] | None:
    """Return what was measured on the split of the judgement; None where neither was judged."""
    compared = comparison(data.judged)
    if compared is None:
        return None
    caption = f"Scores on {compared.images} images; precision and recall at the best F1, IoU 0.50"
    judged = data.judged.items()
    return {
        "gaps": [run for run in data.retrained if run.missing],
        "compared": compared,
        "scores": score_table(compared.scores, caption),
        "classes": class_table(compared.classes),
        "metrics": METRICS,
        "draw_classes": draw_classes,
        "confusions": {label: confusion(evaluation) for label, evaluation in judged},
        "draw_confusion": draw_confusion,
        "curves": {label: precision_recall(evaluation) for label, evaluation in judged},
        "draw_curves": draw_precision_recall,
    }


def class_table(classes: Sequence[ClassScore]) -> Table:
    """Return each class's average precision by Ultralytics, with differences."""
    return Table(
        head=[
            *("class", "AP50-95 difference", "AP50 difference", "boxes"),
            *("AP50-95 baseline", "AP50-95 best", "AP50 baseline", "AP50 best"),
        ],
        rows=[
            [
                found.name,
                *(_difference(found.map50_95), _difference(found.map50), number(found.boxes, 0)),
                *(*_numbers(found.map50_95), *_numbers(found.map50)),
            ]
            for found in classes
        ],
        caption="Average precision by class (Ultralytics); no number where the split has no box",
        sortable=True,
        filterable=len(classes) > _MANY_CLASSES,
    )


def gallery_section(data: ReportData) -> dict[str, Any] | None:
    """Return the pictures, each one three times; None where neither model was judged."""
    if not data.judged:
        return None
    found = gallery(data)
    return {"found": found, "pictures": (_shown(picture, found) for picture in found.pictures)}


def _shown(picture: Picture, found: Gallery) -> dict[str, Any]:
    """Return a picture's image and its three views: a caption, words and boxes."""
    image = photo(picture.path)
    views = [
        (
            "ground truth",
            describe(picture.truth, found.classes),
            of_truth(image, picture.truth, found.classes),
        )
    ]
    for label, matched in ((BASELINE, picture.baseline), (BEST, picture.best)):
        boxes = describe((*matched.right, *matched.wrong), found.classes)
        caption = f"{label}, {errors_of(matched)}"
        views.append((caption, boxes, of_model(image, matched, found.classes)))
    return {"picture": picture, "photo": image, "views": views}
