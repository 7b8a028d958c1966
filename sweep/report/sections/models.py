"""The sections of the page about the retrained models: training, test scores, pictures."""

from collections.abc import Iterable

from sweep.pages import theme
from sweep.pages.markup import Cell, columns, esc, key, number, paragraph, plot, section, table
from sweep.report.data import ReportData
from sweep.report.figures.comparison import ClassScore, Score, comparison, draw_classes
from sweep.report.figures.confusion import confusion, draw_confusion
from sweep.report.figures.curves import draw_panel, retrain_panels
from sweep.report.figures.gallery import Picture, describe, draw_boxes, gallery
from sweep.report.figures.precision_recall import draw_precision_recall, precision_recall
from sweep.report.trials import METRICS
from sweep.stages.retrain import BASELINE, BEST

NO_RETRAINING = "This sweep retrains nothing."


def retrain_section(data: ReportData) -> str:
    """Return scores and losses of both retrainings over epochs."""
    title = "Learning curves of the retraining"
    if data.retrain_stage is None:
        return section("retraining", title, paragraph(NO_RETRAINING, "note"))
    panels = retrain_panels([run.trial for run in data.retrained])
    if not panels:
        return section("retraining", title, paragraph("No epoch has been trained yet.", "note"))
    return section(
        "retraining",
        title,
        key(
            [
                ("baseline", theme.MUTED, "solid"),
                ("best", theme.ACCENT, "solid"),
                ("loss on the validation split", theme.INK, "dotted"),
            ]
        ),
        *(
            columns(
                (
                    plot(draw_panel(panel), alt=f"{panel.title} by epoch of baseline and best")
                    for panel in panels
                    if panel.is_loss is losses
                ),
                "small",
            )
            for losses in (False, True)
        ),
        paragraph("Scores are on the validation split.", "note"),
    )


def score_table(scores: Iterable[Score], caption: str) -> str:
    """Return scores of both models with their difference."""
    return table(
        ["score", "judge", BASELINE, BEST, "difference"],
        (
            [
                Cell(text=score.name),
                Cell(text=score.judge),
                number(score.pair.baseline),
                number(score.pair.best),
                number(score.pair.difference, signed=True),
            ]
            for score in scores
        ),
        caption=caption,
    )


def judgement_section(data: ReportData) -> str:
    """Return everything that was measured on the test split."""
    title = "Baseline and best on the test split"
    found = comparison(data.judged)
    gaps = [
        paragraph(f"No evaluation of {run.trial.slot.label}: {run.missing}.", "note")
        for run in data.retrained
        if run.missing
    ]
    if found is None:
        waiting = data.retrain_stage is not None
        nothing = "Nothing was judged on the test split yet." if waiting else NO_RETRAINING
        return section("test", title, *(gaps or [paragraph(nothing, "note")]))
    judged = data.judged.items()
    return section(
        "test",
        title,
        *gaps,
        score_table(
            found.scores,
            f"Scores on {found.images} images; precision and recall at the best F1, IoU 0.50",
        ),
        class_table(found.classes),
        columns(
            plot(
                draw_classes(found, metric),
                alt=f"{metric.title} of baseline and best for {len(found.classes)} classes",
            )
            for metric in METRICS
        ),
        "<h3>Confusion</h3>",
        columns(
            plot(
                draw_confusion(matrix, f"Confusion, {label}"),
                alt=f"Confusion matrix of {label}",
                caption=f"Boxes of confidence {matrix.confidence} or more. Numbers are counts, "
                "colours the part of the column. Bottom row: missed; right column: nothing there.",
            )
            for label, evaluation in judged
            for matrix in [confusion(evaluation)]
        ),
        "<h3>Precision and recall</h3>",
        columns(
            plot(
                draw_precision_recall(precision_recall(evaluation), f"Precision-recall, {label}"),
                alt=f"Precision over recall for each class of {label}",
                caption="At IoU 0.50. Beside each class its area under the curve, AP50.",
            )
            for label, evaluation in judged
        ),
    )


def class_table(classes: Iterable[ClassScore]) -> str:
    """Return each class's average precision by Ultralytics, with differences."""
    return table(
        [
            *("class", "boxes"),
            *("AP50 baseline", "AP50 best", "difference"),
            *("AP50-95 baseline", "AP50-95 best", "difference"),
        ],
        (
            [
                Cell(text=score.name),
                Cell(text=str(score.boxes), number=score.boxes, style="num"),
                *(
                    cell
                    for pair in (score.map50, score.map50_95)
                    for cell in (
                        number(pair.baseline),
                        number(pair.best),
                        number(pair.difference, signed=True),
                    )
                ),
            ]
            for score in classes
        ),
        caption="Average precision by class (Ultralytics); no number where the split has no box",
        sortable=True,
    )


def gallery_section(data: ReportData) -> str:
    """Return the pictures, each one three times."""
    title = "The same pictures, both models"
    found = gallery(data)
    if found.missing:
        return section("gallery", title, paragraph(f"No pictures: {found.missing}.", "note"))
    return section(
        "gallery",
        title,
        paragraph(found.rule, "note"),
        *(_picture(picture, found.classes) for picture in found.pictures),
    )


def _picture(picture: Picture, classes: tuple[str, ...]) -> str:
    shown = (
        ("truth", "ground truth"),
        (BASELINE, f"baseline, F1 {picture.baseline_f1:.2f}"),
        (BEST, f"best, F1 {picture.best_f1:.2f}"),
    )
    name = picture.path.stem
    images = "".join(
        f'<figure><img alt="{esc(f"{name}, {caption}: {describe(boxes, classes)}")}" '
        f'src="{draw_boxes(picture.path, boxes, classes)}">'
        f"<figcaption>{esc(caption)}</figcaption></figure>"
        for key, caption in shown
        for boxes in [picture.boxes[key]]
    )
    return (
        f'<div class="picture"><h4>{esc(name)} <span>{esc(picture.why)}</span></h4>'
        f'<div class="triple">{images}</div></div>'
    )
