"""Precision over recall, one line a class."""

from dataclasses import dataclass

import plotly.graph_objects as go

from sweep.evaluation.result import Evaluation
from sweep.pages import theme

MOST_NAMED = 24
"""Classes that a legend has room for; the names of more are seen on hover."""


@dataclass(frozen=True, kw_only=True)
class ClassCurve:
    """One class's curve at IoU 0.50."""

    name: str
    ap50: float | None
    """Area under the curve."""
    index: int
    """Of the class; decides the colour."""
    recall: tuple[float, ...]
    precision: tuple[float, ...]


def precision_recall(evaluation: Evaluation) -> tuple[ClassCurve, ...]:
    """Return the curves of the classes that have boxes, as the dataset orders them."""
    ap50 = {scores.name: scores.ap50 for scores in evaluation.per_class}
    return tuple(
        ClassCurve(
            name=curve.name,
            ap50=ap50[curve.name],
            index=evaluation.classes.index(curve.name),
            recall=curve.recall,
            precision=curve.precision,
        )
        for curve in evaluation.curves
    )


def draw_precision_recall(curves: tuple[ClassCurve, ...], title: str) -> go.Figure:
    """Draw the curves on axes from 0 to 1; the legend tells each one's area."""
    named = len(curves) <= MOST_NAMED
    drawing = theme.figure(
        title=title,
        x=theme.axis("recall", range=[0, 1.01], dtick=0.2),
        y=theme.axis("precision", range=[0, 1.03], dtick=0.2),
        height=380 + (18 * (len(curves) // 2) if named else 0),
        legend="below" if named else "none",
    )
    for curve in curves:
        area = "" if curve.ap50 is None else f" {curve.ap50:.3f}"
        drawing.add_scatter(
            x=[round(value, 4) for value in curve.recall],
            y=[round(value, 4) for value in curve.precision],
            mode="lines",
            name=f"{theme.words(theme.short(curve.name))}{area}",
            opacity=1.0 if named else 0.5,
            line={"color": theme.colour(curve.index), "width": 2 if named else 1},
            hovertemplate=f"{theme.words(curve.name)}{area}<br>"
            "recall %{x:.2f}, precision %{y:.2f}<extra></extra>",
        )
    return drawing
