"""What the page shows of the retrained models: training, test scores, pictures."""

from collections.abc import Iterable
from typing import Any

from sweep.pages import theme
from sweep.pages.table import Cell, Table, number
from sweep.report.data import ReportData
from sweep.report.figures.comparison import ClassScore, Pair, Score, comparison, draw_classes
from sweep.report.figures.confusion import confusion, draw_confusion
from sweep.report.figures.curves import draw_panel, retrain_panels
from sweep.report.figures.gallery import describe, draw_boxes, gallery
from sweep.report.figures.precision_recall import draw_precision_recall, precision_recall
from sweep.report.trials import METRICS
from sweep.stages.retrain import BASELINE, BEST


def retrain_section(data: ReportData) -> dict[str, Any]:
    """Return scores and losses of both retrainings over epochs."""
    return {
        "retrains": data.retrain_stage is not None,
        "lines": [
            ("baseline", theme.MUTED, "solid"),
            ("best", theme.ACCENT, "solid"),
            ("loss on the validation split", theme.INK, "dotted"),
        ],
        "panels": retrain_panels([run.trial for run in data.retrained]),
        "draw": draw_panel,
    }


def score_table(scores: Iterable[Score], caption: str) -> Table:
    """Return scores of both models with their difference."""
    return Table(
        head=["score", "judge", BASELINE, BEST, "difference"],
        rows=[[score.name, score.judge, *_numbers(score.pair)] for score in scores],
        caption=caption,
    )


def _numbers(pair: Pair) -> tuple[Cell, Cell, Cell]:
    return number(pair.baseline), number(pair.best), number(pair.difference, signed=True)


def judgement_section(data: ReportData) -> dict[str, Any]:
    """Return everything that was measured on the split that the models are judged on."""
    compared = comparison(data.judged)
    content = {
        "retrains": data.retrain_stage is not None,
        "split": data.judged_on,
        "gaps": [run for run in data.retrained if run.missing],
        "compared": compared,
    }
    if compared is None:
        return content
    caption = f"Scores on {compared.images} images; precision and recall at the best F1, IoU 0.50"
    judged = data.judged.items()
    return {
        **content,
        "scores": score_table(compared.scores, caption),
        "classes": class_table(compared.classes),
        "metrics": METRICS,
        "draw_classes": draw_classes,
        "confusions": {label: confusion(evaluation) for label, evaluation in judged},
        "draw_confusion": draw_confusion,
        "curves": {label: precision_recall(evaluation) for label, evaluation in judged},
        "draw_curves": draw_precision_recall,
    }


def class_table(classes: Iterable[ClassScore]) -> Table:
    """Return each class's average precision by Ultralytics, with differences."""
    return Table(
        head=[
            *("class", "boxes"),
            *("AP50 baseline", "AP50 best", "difference"),
            *("AP50-95 baseline", "AP50-95 best", "difference"),
        ],
        rows=[
            [found.name, number(found.boxes, 0), *_numbers(found.map50), *_numbers(found.map50_95)]
            for found in classes
        ],
        caption="Average precision by class (Ultralytics); no number where the split has no box",
        sortable=True,
    )


def gallery_section(data: ReportData) -> dict[str, Any]:
    """Return the pictures, each one three times."""
    return {"found": gallery(data), "describe": describe, "draw": draw_boxes}
