"""One searched setting at a time: every completed trial's score over the setting's value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from sweep.pages import theme
from sweep.report.figures.grouping import Grouping, grouping
from sweep.report.trials import Metric, Trial, axis_name, setting, settings
from sweep.spec.space import Parameter


@dataclass(frozen=True, kw_only=True)
class Point:
    """One completed trial along one setting."""

    value: Any
    """Of the setting; where it is no range, the place of the choice."""
    score: float
    group: str
    hover: str
    best: bool


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Completed trials along one setting."""

    name: str
    title: str
    log: bool
    """Whether the setting is searched on a logarithmic scale."""
    categories: tuple[str, ...] | None
    """The choices in order, where the setting is no range."""
    points: tuple[Point, ...]
    groups: Grouping


def slices(
    trials: Sequence[Trial],
    space: Mapping[str, Parameter],
    metric: Metric,
    best: Trial | None = None,
) -> tuple[Slice, ...]:
    """Return one slice for each searched setting; trials that do not have it are left out."""
    scored = [(trial, score) for trial in trials if (score := trial.score(metric)) is not None]
    groups = grouping(trials, space)
    found = []
    for name, parameter in space.items():
        having = [(trial, score) for trial, score in scored if name in trial.params]
        categories = _categories(parameter)
        found.append(
            Slice(
                name=name,
                title=axis_name(name, _only_optimizer(having)),
                log=parameter.log,
                categories=categories,
                points=tuple(
                    Point(
                        value=trial.params[name]
                        if categories is None
                        else categories.index(setting(trial.params[name])),
                        score=score,
                        group=groups.of(trial.params),
                        hover=f"trial {trial.name}: {settings(trial.params)}",
                        best=best is not None and trial.slot.id == best.slot.id,
                    )
                    for trial, score in having
                ),
                groups=groups,
            )
        )
    return tuple(slice_ for slice_ in found if slice_.points)


def _categories(parameter: Parameter) -> tuple[str, ...] | None:
    if parameter.choices is None:
        return None
    return tuple(setting(value) for value in parameter.choices)


def _only_optimizer(having: Sequence[tuple[Trial, float]]) -> Any:
    optimizers = {trial.params.get("optimizer") for trial, _ in having}
    return optimizers.pop() if len(optimizers) == 1 else None


def draw_slice(found: Slice, metric: Metric) -> go.Figure:
    """Draw one setting's scores as points in the colours of their groups, the best as a star."""
    kind = "log" if found.log else "linear"
    drawing = theme.figure(
        title=f"{metric.title} by {theme.words(theme.short(found.title))}",
        x=theme.places("", found.categories)
        if found.categories is not None
        else theme.axis("", type=kind, exponentformat="none"),
        y=theme.axis(metric.title, rangemode="tozero"),
        height=280,
    )
    for group in found.groups.values:
        points = [point for point in found.points if point.group == group and not point.best]
        _add(drawing, points, color=found.groups.colour(group), size=8, opacity=0.65)
    best = [point for point in found.points if point.best]
    _add(drawing, best, color=theme.INK, size=14, symbol="star")
    return drawing


def _add(drawing: go.Figure, points: Sequence[Point], **marker: Any) -> None:
    if not points:
        return
    drawing.add_scatter(
        x=[point.value for point in points],
        y=[point.score for point in points],
        text=[theme.words(point.hover) for point in points],
        mode="markers",
        marker=marker,
        hovertemplate="%{text}<br>%{y:.3f}<extra></extra>",
    )
