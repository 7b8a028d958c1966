"""One searched setting at a time: every completed trial's score over the setting's value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from sweep.pages import theme
from sweep.report.trials import Metric, Trial, axis_name, setting, settings
from sweep.spec.space import Parameter


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Completed trials along one setting."""

    name: str
    title: str
    log: bool
    """Whether the setting is searched on a logarithmic scale."""
    categories: tuple[str, ...] | None
    """The choices in order, where the setting is no range; then `values` are of these."""
    values: tuple[Any, ...]
    scores: tuple[float, ...]
    hover: tuple[str, ...]


def slices(
    trials: Sequence[Trial], space: Mapping[str, Parameter], metric: Metric
) -> tuple[Slice, ...]:
    """Return one slice for each searched setting; trials that do not have it are left out."""
    scored = [(trial, score) for trial in trials if (score := trial.score(metric)) is not None]
    found = []
    for name, parameter in space.items():
        having = [(trial, score) for trial, score in scored if name in trial.params]
        values = [trial.params[name] for trial, _ in having]
        choices = parameter.choices
        found.append(
            Slice(
                name=name,
                title=axis_name(name, _only_optimizer(having)),
                log=parameter.log,
                categories=None if choices is None else tuple(setting(value) for value in choices),
                values=tuple(values if choices is None else [setting(value) for value in values]),
                scores=tuple(score for _, score in having),
                hover=tuple(f"trial {trial.name}: {settings(trial.params)}" for trial, _ in having),
            )
        )
    return tuple(found)


def _only_optimizer(having: Sequence[tuple[Trial, float]]) -> Any:
    optimizers = {trial.params.get("optimizer") for trial, _ in having}
    return optimizers.pop() if len(optimizers) == 1 else None


def draw_slice(found: Slice, metric: Metric) -> go.Figure:
    """Draw one setting's scores as points."""
    along: dict[str, Any] = {"type": "log" if found.log else "linear", "exponentformat": "none"}
    if found.categories is not None:
        along = {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": list(found.categories),
        }
    drawing = theme.figure(
        title=f"{metric.title} by {found.title}",
        x=theme.axis(found.title, **along),
        y=theme.axis(metric.title, rangemode="tozero"),
        height=280,
    )
    drawing.add_scatter(
        x=list(found.values),
        y=list(found.scores),
        text=list(found.hover),
        mode="markers",
        marker={"color": theme.ACCENT, "size": 8, "opacity": 0.65},
        hovertemplate="%{text}<br>%{y:.3f}<extra></extra>",
    )
    return drawing
