"""Heatmaps of a grid: a score at each learning rate and momentum, one map an optimizer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from storage.states import SlotState
from sweep.pages import theme
from sweep.report.trials import Metric, Trial, axis_name, momentum_name, setting
from sweep.spec.space import Parameter

OPTIMIZER, ROWS, COLUMNS = "optimizer", "lr0", "momentum"
_UNSETTLED = (
    SlotState.RUNNING,
    SlotState.QUEUED,
    SlotState.PRUNED,
    SlotState.FAILED,
    SlotState.CANCELLED,
    SlotState.COMPLETE,  # with a score that is not finite
)
"""States of trials without a score, the one that says most first."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The best completed trial at a row, column and optimizer."""

    value: float | None
    """Its score in [0, 1]; None where no trial completed."""
    trial: Trial | None
    """The trial the value is of, else one that has no score."""

    @property
    def text(self) -> str:
        """What stands in the cell: the score to three decimals, else the trial's state."""
        if self.value is not None:
            return f"{self.value:.3f}"
        return "no trial" if self.trial is None else self.trial.state.value


@dataclass(frozen=True, kw_only=True)
class Heatmap:
    """One optimizer's scores."""

    optimizer: str | None
    """None where the optimizer is not searched."""
    row_name: str
    column_name: str
    rows: tuple[Any, ...]
    """Row values from the top: numbers descend."""
    columns: tuple[Any, ...]
    """Column values from the left: numbers ascend."""
    cells: tuple[tuple[Cell, ...], ...]

    @property
    def title(self) -> str:
        """Whose scores the map shows."""
        return self.optimizer or "All trials"

    @property
    def column_title(self) -> str:
        """The columns' setting, beta1 by its name."""
        return momentum_name(self.optimizer) if self.column_name == COLUMNS else self.column_name


@dataclass(frozen=True, kw_only=True)
class Heatmaps:
    """All optimizers' maps of one metric, on one scale of colours."""

    metric: Metric
    maps: tuple[Heatmap, ...] = ()
    low: float = 0.0
    high: float = 0.0
    """Lowest and highest score over all maps; both 0 where no trial completed."""
    scored: bool = False
    """Whether any trial completed with a score."""
    best_over: tuple[str, ...] = ()
    """Searched settings that a cell is the best over."""
    missing: str = ""
    """Why there are no maps; empty where there are."""


def heatmaps(
    trials: Sequence[Trial],
    space: Mapping[str, Parameter],
    metric: Metric,
    fixed_optimizer: str | None = None,
) -> Heatmaps:
    """Sort the search trials into maps.

    Rows are `lr0` and columns `momentum` where these are searched over listed values, otherwise
    the first settings that are; there are no maps where fewer than two are. `fixed_optimizer` is
    the optimizer of a sweep that searches none.
    """
    listed = {name: grid for name, parameter in space.items() if (grid := parameter.grid())}
    places = [name for name in (ROWS, COLUMNS) if name in listed]
    places += [name for name in listed if name not in (ROWS, COLUMNS, OPTIMIZER)]
    if len(places) < 2:
        return Heatmaps(
            metric=metric,
            missing="a heatmap needs two settings searched over listed values; "
            f"this sweep has {', '.join(places) or 'none'}",
        )
    row, column = places[:2]
    rows, columns = _ordered(listed[row])[::-1], _ordered(listed[column])
    optimizers = [(name, {OPTIMIZER: name}) for name in listed.get(OPTIMIZER, ())]
    maps = tuple(
        Heatmap(
            optimizer=None if optimizer is None else str(optimizer),
            row_name=row,
            column_name=column,
            rows=rows,
            columns=columns,
            cells=tuple(
                tuple(_cell(trials, metric, {row: y, column: x, **chosen}) for x in columns)
                for y in rows
            ),
        )
        for optimizer, chosen in optimizers or [(fixed_optimizer, {})]
    )
    values = [
        cell.value
        for found in maps
        for line in found.cells
        for cell in line
        if cell.value is not None
    ]
    return Heatmaps(
        metric=metric,
        maps=maps,
        low=min(values, default=0.0),
        high=max(values, default=0.0),
        scored=bool(values),
        best_over=tuple(name for name in space if name not in (row, column, OPTIMIZER)),
    )


def _ordered(values: Sequence[Any]) -> tuple[Any, ...]:
    """Return numbers in ascending order, anything else as the sweep file has it."""
    if all(isinstance(value, int | float) for value in values):
        return tuple(sorted(values))
    return tuple(values)


def _cell(trials: Sequence[Trial], metric: Metric, at: Mapping[str, Any]) -> Cell:
    here = [trial for trial in trials if at.items() <= trial.params.items()]
    scored = [(score, trial) for trial in here if (score := trial.score(metric)) is not None]
    if scored:
        value, trial = max(scored, key=lambda pair: pair[0])
        return Cell(value=value, trial=trial)
    rest = min(here, key=lambda trial: _UNSETTLED.index(trial.state), default=None)
    return Cell(value=None, trial=rest)


def draw_heatmap(found: Heatmap, scale: Heatmaps) -> go.Figure:
    """Draw one optimizer's map in the colours of `scale`."""
    columns = [setting(value) for value in found.columns]
    rows = [setting(value) for value in found.rows]
    drawing = theme.figure(
        title=f"{theme.words(theme.short(found.title))}, {scale.metric.title}",
        x=theme.places(axis_name(found.column_name, found.optimizer), columns),
        y=theme.places(
            axis_name(found.row_name, found.optimizer), rows, range=[len(rows) - 0.5, -0.5]
        ),
        height=90 + 44 * len(rows),
    )
    span = scale.high - scale.low or 1.0
    drawing.add_heatmap(
        z=[[cell.value for cell in line] for line in found.cells],
        customdata=[[_hover(cell) for cell in line] for line in found.cells],
        hovertemplate="%{customdata}<extra></extra>",
        hoverongaps=True,
        zmin=scale.low,
        zmax=scale.low + span,
        colorscale=[list(stop) for stop in theme.SCALE],
        showscale=False,
        xgap=2,
        ygap=2,
    )
    for y, line in enumerate(found.cells):
        for x, cell in enumerate(line):
            top = cell.value is not None and cell.value == scale.high > 0
            drawing.add_annotation(
                x=x,
                y=y,
                text=f"<b>{cell.text}</b>" if top else cell.text,
                showarrow=False,
                font=_font(cell, scale.low, span),
            )
    return drawing


def _font(cell: Cell, low: float, span: float) -> dict[str, Any]:
    if cell.value is None:
        settled = cell.trial is not None and cell.trial.state.final
        return {"size": 11, "color": theme.WARNING if settled else theme.MUTED}
    dark = (cell.value - low) / span > theme.DARK_FROM
    return {"size": 13, "color": theme.ON_DARK if dark else theme.INK}


def _hover(cell: Cell) -> str:
    if cell.trial is None:
        return "no trial here"
    lines = [f"trial {cell.trial.name}: {cell.text}", cell.trial.reason]
    return "<br>".join(theme.words(line) for line in lines if line)
