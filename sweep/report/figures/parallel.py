"""Parallel coordinates: all searched settings side by side, one line a completed trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Any

import plotly.graph_objects as go

from sweep.pages import theme
from sweep.report.figures.grouping import Grouping, grouping
from sweep.report.trials import Metric, Trial, setting, settings
from sweep.spec.space import Parameter

MOST_LINES = 100
"""More lines hide each other; those with the highest scores are drawn."""
_AXIS_PX = 104
"""Least room of an axis."""
_MOST_TICKS = 8


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A searched setting, or the score."""

    title: str
    ticks: tuple[tuple[float, str], ...]
    """Places in [0, 1] and what stands there."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One completed trial."""

    places: tuple[float | None, ...]
    """On each axis, in [0, 1]; None where the trial does not have the setting."""
    group: str
    hover: str
    best: bool


@dataclass(frozen=True, kw_only=True)
class Parallel:
    """The axes from the left, the score last, and the lines, the best one last."""

    axes: tuple[Axis, ...]
    lines: tuple[Line, ...]
    groups: Grouping
    trials: int
    """Completed trials, also those that are not drawn."""


def parallel(
    trials: Sequence[Trial],
    space: Mapping[str, Parameter],
    metric: Metric,
    best: Trial | None = None,
) -> Parallel | None:
    """Put the trials on the axes of their settings; None where there is nothing to compare."""
    scored = [(trial, score) for trial in trials if (score := trial.score(metric)) is not None]
    if len(scored) < 2 or len(space) < 2:
        return None
    scores = [score for _, score in scored]
    low, high = min(scores), max(scores)
    groups = grouping(trials, space)
    lines = [
        Line(
            places=(
                *(_place(space[name], trial.params, name) for name in space),
                _part(score, low, high),
            ),
            group=groups.of(trial.params),
            hover=f"trial {trial.name}: {metric.title} {score:.3f}, {settings(trial.params)}",
            best=best is not None and trial.slot.id == best.slot.id,
        )
        for trial, score in sorted(scored, key=lambda pair: -pair[1])[:MOST_LINES]
    ]
    ends = ((0.0, f"{low:.3f}"), (1.0, f"{high:.3f}"))
    return Parallel(
        axes=(
            *(Axis(title=name, ticks=_ticks(parameter)) for name, parameter in space.items()),
            Axis(title=metric.title, ticks=ends if high > low else ((0.5, f"{low:.3f}"),)),
        ),
        lines=tuple(sorted(lines, key=lambda line: line.best)),
        groups=groups,
        trials=len(scored),
    )


def _place(parameter: Parameter, params: Mapping[str, Any], name: str) -> float | None:
    if name not in params:
        return None
    value = params[name]
    if parameter.choices is not None:
        choices = [setting(choice) for choice in parameter.choices]
        return _part(choices.index(setting(value)), 0, len(choices) - 1)
    low, high = float(parameter.low or 0), float(parameter.high or 0)
    if parameter.log:
        return _part(log10(value), log10(low), log10(high))
    return _part(value, low, high)


def _part(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _ticks(parameter: Parameter) -> tuple[tuple[float, str], ...]:
    if parameter.choices is None:
        return ((0.0, setting(parameter.low)), (1.0, setting(parameter.high)))
    last = len(parameter.choices) - 1
    step = -(-len(parameter.choices) // _MOST_TICKS)
    return tuple(
        (_part(place, 0, last), setting(choice))
        for place, choice in enumerate(parameter.choices)
        if place % step == 0
    )


def draw_parallel(found: Parallel) -> go.Figure:
    """Draw the lines in the colours of their groups, the best one thick.

    Drawn as ordinary lines: plotly's own parallel coordinates need WebGL, and print badly.
    """
    across = list(range(len(found.axes)))
    drawing = theme.figure(
        title="",
        x=theme.places("", [axis.title for axis in found.axes], side="top", tickangle=0),
        y=theme.axis("", visible=False, range=[-0.06, 1.06]),
        height=380,
    )
    drawing.update_layout(
        minreducedwidth=_AXIS_PX * len(found.axes),
        margin={"l": 8, "r": 8, "t": 36, "b": 8},
        shapes=[
            {
                **{"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "layer": "below"},
                "line": {"color": theme.MUTED, "width": 1},
            }
            for x in across
        ],
    )
    drawing.update_xaxes(
        range=[-0.35, len(found.axes) - 0.65],
        ticktext=[theme.words(theme.short(axis.title, 14)) for axis in found.axes],
    )
    for line in found.lines:
        drawing.add_scatter(
            x=across,
            y=list(line.places),
            mode="lines+markers",
            connectgaps=True,
            name="",
            hovertemplate=f"{theme.words(line.hover)}<extra></extra>",
            opacity=1.0 if line.best else 0.5,
            marker={"size": 8 if line.best else 4},
            line={
                "color": theme.INK if line.best else found.groups.colour(line.group),
                "width": 3.5 if line.best else 1.2,
            },
        )
    for x, axis in enumerate(found.axes):
        for y, text in axis.ticks:
            drawing.add_annotation(
                x=x,
                y=y,
                text=theme.words(theme.short(text, 12)),
                showarrow=False,
                xanchor="left",
                xshift=5,
                font={"size": 11},
                bgcolor=theme.PAPER,
                borderpad=1,
                opacity=0.9,
            )
    return drawing
