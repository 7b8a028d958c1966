"""Learning curves: the search's trials over epochs, and baseline beside best."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from storage.snapshot.records import EpochRecord
from sweep.pages import theme
from sweep.report.figures.grouping import Grouping, grouping
from sweep.report.trials import MAP50_95, METRICS, Trial, settings
from sweep.spec.space import Parameter
from sweep.stages.retrain import BASELINE

MOST_BEST, MOST_OTHERS = 50, 50
"""Curves of a search that are drawn: of the trials that came highest, and of others by chance."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line over epochs."""

    name: str
    group: str
    """What decides its colour."""
    epochs: tuple[int, ...]
    values: tuple[float, ...]
    best: bool


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One quantity of the retrainings over epochs."""

    title: str
    is_loss: bool
    curves: tuple[Curve, ...]
    """The curve's group is the retraining's label; validation losses end in `, val`."""


@dataclass(frozen=True, kw_only=True)
class SearchCurves:
    """The search's trials over epochs."""

    lines: tuple[Curve, ...]
    """The best trial last."""
    groups: Grouping
    trials: int
    """Those with an epoch, also where they are not drawn."""


def search_curves(
    trials: Sequence[Trial], best: Trial | None, space: Mapping[str, Parameter]
) -> SearchCurves:
    """Return mAP50-95 by epoch of the trials that have an epoch: of all, or of many some."""
    groups = grouping(trials, space)
    found = [
        Curve(
            name=f"trial {trial.name}: {settings(trial.params)}",
            group=groups.of(trial.params),
            epochs=tuple(epoch.epoch for epoch in trial.epochs),
            values=tuple(epoch.map50_95 for epoch in trial.epochs),
            best=best is not None and trial.slot.id == best.slot.id,
        )
        for trial in trials
        if trial.epochs
    ]
    ranked = sorted(found, key=lambda curve: (curve.best, max(curve.values)), reverse=True)
    others = ranked[MOST_BEST:]
    if len(others) > MOST_OTHERS:
        others = random.Random(0).sample(others, MOST_OTHERS)
    drawn = set(map(id, ranked[:MOST_BEST] + others))
    return SearchCurves(
        lines=tuple(
            sorted((c for c in found if id(c) in drawn), key=lambda curve: curve.best),
        ),
        groups=groups,
        trials=len(found),
    )


def draw_search_curves(found: SearchCurves) -> go.Figure:
    """Draw the search's curves, thin and in the colours of their groups, the best one thick."""
    curves, groups = found.lines, found.groups
    drawing = theme.figure(
        title=f"{MAP50_95.title} on the validation split after each epoch",
        x=theme.axis("epoch", dtick=_tick(curves)),
        y=theme.axis(MAP50_95.title, rangemode="tozero"),
        height=440,
        legend="above",
    )
    for group in groups.values:  # one legend line a group, however many trials
        drawing.add_scatter(
            x=[None],
            y=[None],
            mode="lines",
            name=theme.words(groups.label(group)),
            line={"color": groups.colour(group), "width": 2},
        )
    for curve in curves:
        drawing.add_scatter(
            x=list(curve.epochs),
            y=[round(value, 5) for value in curve.values],
            mode="lines+markers" if curve.best or len(curve.epochs) == 1 else "lines",
            name="best" if curve.best else "",
            hovertemplate=f"{theme.words(curve.name)}<br>epoch %{{x}}: %{{y:.3f}}<extra></extra>",
            showlegend=curve.best,
            opacity=1.0 if curve.best else 0.45,
            line={
                "color": theme.INK if curve.best else groups.colour(curve.group),
                "width": 3.5 if curve.best else 1.5,
            },
        )
    return drawing


def retrain_panels(trials: Sequence[Trial]) -> tuple[Panel, ...]:
    """Return scores and losses of the retrainings by epoch, one panel a quantity.

    Training and validation loss of the same name share a panel. Panels without a value are
    left out.
    """
    losses = {
        name.partition("/")[2]: None
        for trial in trials
        for epoch in trial.epochs
        for name in epoch.report.get("losses", {})
    }
    quantities: list[tuple[str, bool, dict[str, str]]] = [
        (metric.title, False, {metric.key: ""}) for metric in METRICS
    ]
    quantities += [(name, False, {name: ""}) for name in ("precision", "recall")]
    quantities += [
        (loss.replace("_", " "), True, {f"train/{loss}": "", f"val/{loss}": ", val"})
        for loss in losses
    ]
    panels = [
        Panel(
            title=title,
            is_loss=is_loss,
            curves=tuple(
                curve
                for trial in trials
                for key, suffix in lines.items()
                if (curve := _curve(trial, key, suffix)).values
            ),
        )
        for title, is_loss, lines in quantities
    ]
    return tuple(panel for panel in panels if panel.curves)


def _curve(trial: Trial, key: str, suffix: str) -> Curve:
    points = {
        epoch.epoch: value for epoch in trial.epochs if (value := _value(epoch, key)) is not None
    }
    label = str(trial.slot.label)
    return Curve(
        name=f"{label}{suffix}",
        group=label,
        epochs=tuple(points),
        values=tuple(points.values()),
        best=label != BASELINE,
    )


def _value(epoch: EpochRecord, key: str) -> float | None:
    if key in ("map50", "map50_95"):
        return float(getattr(epoch, key))
    found = epoch.report.get("losses", {}).get(key, epoch.report.get(key))
    return None if found is None else float(found)


def draw_panel(panel: Panel) -> go.Figure:
    """Draw one quantity: baseline grey, best in the accent, validation losses dotted.

    Losses are logarithmic: one epoch with a learning rate too high would flatten the others.
    """
    drawing = theme.figure(
        title=panel.title,
        x=theme.axis("epoch", dtick=_tick(panel.curves)),
        y=theme.axis("loss, logarithmic", type="log")
        if panel.is_loss
        else theme.axis(panel.title, rangemode="tozero"),
        height=270,
    )
    for curve in panel.curves:
        drawing.add_scatter(
            x=list(curve.epochs),
            # A logarithmic axis has no zero; a gap shows it.
            y=[value if value > 0 or not panel.is_loss else None for value in curve.values],
            mode="lines" if len(curve.epochs) > 1 else "markers",
            name=curve.name,
            hovertemplate=f"{curve.name}, epoch %{{x}}: %{{y:.3f}}<extra></extra>",
            line={
                "color": theme.ACCENT if curve.best else theme.MUTED,
                "width": 2,
                "dash": "dot" if curve.name.endswith(", val") else "solid",
            },
        )
    return drawing


def _tick(curves: Sequence[Curve]) -> int | None:
    """Return a tick at every epoch where there are few; None lets plotly choose."""
    longest = max((curve.epochs[-1] for curve in curves if curve.epochs), default=1)
    return 1 if longest <= 12 else None
