"""The confusion matrix of a model: counts in the cells, colours by true class."""

from dataclasses import dataclass

import plotly.graph_objects as go

from sweep.evaluation.result import Evaluation
from sweep.pages import theme

BACKGROUND = "background"
ANNOTATED_UP_TO = 25
"""Most rows whose cells can hold a readable number."""


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Counts of boxes by predicted and true class."""

    labels: tuple[str, ...]
    """Class names, then the background."""
    counts: tuple[tuple[int, ...], ...]
    """Row: predicted class, column: true class."""
    shares: tuple[tuple[float | None, ...], ...]
    """The counts as parts of their column, in [0, 1]; None in a column without a box."""
    confidence: float
    """Boxes below it do not count."""


def confusion(evaluation: Evaluation) -> Confusion:
    """Normalize an evaluation's matrix by column: of the boxes that are a class, taken for what."""
    totals = [sum(column) for column in zip(*evaluation.confusion, strict=True)]
    return Confusion(
        labels=(*evaluation.classes, BACKGROUND),
        counts=evaluation.confusion,
        shares=tuple(
            tuple(
                count / total if total else None for count, total in zip(row, totals, strict=True)
            )
            for row in evaluation.confusion
        ),
        confidence=evaluation.confusion_confidence,
    )


def draw_confusion(found: Confusion, title: str) -> go.Figure:
    """Draw the matrix, predicted classes from the top down."""
    labels = list(found.labels)
    drawing = theme.figure(
        title=title,
        x=theme.places("true class", labels, tickangle=-35),
        y=theme.places("predicted class", labels, range=[len(labels) - 0.5, -0.5]),
        height=150 + 36 * min(len(labels), ANNOTATED_UP_TO),
    )
    drawing.add_heatmap(
        z=[[None if share is None else round(share, 4) for share in row] for row in found.shares],
        text=[
            [
                theme.words(f"{count} {true} taken for {label}") if count else "none"
                for true, count in zip(labels, row, strict=True)
            ]
            for label, row in zip(labels, found.counts, strict=True)
        ],
        hovertemplate="%{text}<br>%{z:.0%} of the column<extra></extra>",
        zmin=0,
        zmax=1,
        colorscale=[list(stop) for stop in theme.SCALE],
        showscale=False,
        xgap=1,
        ygap=1,
    )
    if len(labels) > ANNOTATED_UP_TO:
        return drawing
    for y, (counts, shares) in enumerate(zip(found.counts, found.shares, strict=True)):
        for x, (count, share) in enumerate(zip(counts, shares, strict=True)):
            if count:
                dark = (share or 0.0) > theme.DARK_FROM
                drawing.add_annotation(
                    x=x,
                    y=y,
                    text=str(count),
                    showarrow=False,
                    font={"size": 12, "color": theme.ON_DARK if dark else theme.INK},
                )
    return drawing
