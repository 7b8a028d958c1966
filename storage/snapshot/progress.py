"""How far a sweep is, at a cost that does not grow with what it has done: for looking every second.

`storage.snapshot.overview` reads everything; this counts in the database and reads single slots
only where something moves.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, and_, func, or_, select

from storage.engine import now_s, reading
from storage.queue.sweeps import get
from storage.snapshot.overview import workers_of
from storage.snapshot.records import WorkerRecord
from storage.states import SlotState, StageState, SweepState
from storage.tables import attempts, epochs, slots, stages, sweeps

_OVERLAP_S = 2.0
"""A change is seen when its transaction ends, with the time at which it was made before."""
_FAILED_SHOWN = 20
_SAMPLED = 20


@dataclass(frozen=True, kw_only=True)
class SlotProgress:
    """One slot, and how its last epoch went."""

    id: int
    label: str | None
    params: Mapping[str, Any] | None
    state: SlotState
    trial_number: int | None
    worker: str | None
    message: str | None
    value: float | None
    """Its result's objective."""
    epochs: int
    """Number of the last committed epoch; 0 before the first."""
    map50: float | None
    map50_95: float | None


@dataclass(frozen=True, kw_only=True)
class StageProgress:
    """One stage, in numbers."""

    name: str
    state: StageState
    epochs: int
    """Epochs of a full training in this stage."""
    counts: Mapping[SlotState, int]
    """Slots by state, every state included."""
    unplanned: Mapping[str, int]
    """How many attempts ended otherwise than complete or pruned, by ending."""
    best: SlotProgress | None
    """The completed slot with the highest objective, the first of equals."""
    moving: tuple[SlotProgress, ...]
    """The running slots, and those that ended since the caller looked last; in order."""
    failed: tuple[SlotProgress, ...]
    """The first failed and cancelled slots that have a message, a few only."""

    @property
    def total(self) -> int:
        """Number of slots."""
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        """Number of slots in a final state."""
        return sum(count for state, count in self.counts.items() if state.final)


@dataclass(frozen=True, kw_only=True)
class SweepProgress:
    """A whole sweep, in numbers."""

    name: str
    state: SweepState
    at_s: float
    """The database's clock; the caller passes it on the next time as `since_s`."""
    stages: tuple[StageProgress, ...]
    workers: tuple[WorkerRecord, ...]
    epoch_s: float | None
    """Mean duration of the latest epochs; None before the first."""


def read(engine: Engine, name: str, *, since_s: float | None = None) -> SweepProgress:
    """Read how far a sweep is.

    Args:
        engine: The database.
        name: The sweep.
        since_s: When the caller looked last (`SweepProgress.at_s`). What ended since, or a little
            before, is among the moving slots; without it only the running ones are.

    Raises:
        SweepNotFound: If there is no sweep of this name.
    """
    sweep_id = get(engine, name).id
    with reading(engine) as connection:
        sweep = connection.execute(
            select(sweeps.c.state, now_s().label("at_s")).where(sweeps.c.id == sweep_id)
        ).one()
        found = connection.execute(
            select(stages).where(stages.c.sweep_id == sweep_id).order_by(stages.c.position)
        ).all()
        return SweepProgress(
            name=name,
            state=SweepState(sweep.state),
            at_s=sweep.at_s,
            stages=tuple(_stage(connection, row, since_s) for row in found),
            workers=workers_of(connection, sweep_id),
            epoch_s=_epoch_s(connection, [row.id for row in found]),
        )


def _stage(connection: Connection, stage: Row[Any], since_s: float | None) -> StageProgress:
    own = slots.c.stage_id == stage.id
    counted = connection.execute(
        select(slots.c.state, func.count().label("slots")).where(own).group_by(slots.c.state)
    )
    counts = {row.state: row.slots for row in counted}
    moving = slots.c.state == SlotState.RUNNING
    if since_s is not None:
        moving = or_(moving, slots.c.finished_at > since_s - _OVERLAP_S)
    failed = slots.c.state.in_([SlotState.FAILED, SlotState.CANCELLED])
    of_stage = _slots().where(own)
    best = (
        of_stage.where(slots.c.state == SlotState.COMPLETE, slots.c.value.is_not(None))
        .order_by(slots.c.value.desc(), slots.c.ordinal)
        .limit(1)
    )
    return StageProgress(
        name=stage.name,
        state=StageState(stage.state),
        epochs=stage.epochs,
        counts={state: counts.get(state, 0) for state in SlotState},
        unplanned=_unplanned(connection, own),
        best=next(iter(_read(connection, best)), None),
        moving=_read(connection, of_stage.where(moving).order_by(slots.c.ordinal)),
        failed=_read(
            connection,
            of_stage.where(failed, slots.c.trial_number.is_not(None))
            .order_by(slots.c.ordinal)
            .limit(_FAILED_SHOWN),
        ),
    )


def _slots() -> Select[Any]:
    return select(
        *(slots.c.id, slots.c.label, slots.c.params, slots.c.state, slots.c.trial_number),
        *(slots.c.worker, slots.c.message, slots.c.value),
    )


def _read(connection: Connection, query: Select[Any]) -> tuple[SlotProgress, ...]:
    rows = connection.execute(query).all()
    last = _last_epochs(connection, [row.id for row in rows])
    return tuple(_slot(row, last.get(row.id)) for row in rows)


def _slot(row: Row[Any], last: Row[Any] | None) -> SlotProgress:
    return SlotProgress(
        id=row.id,
        label=row.label,
        params=row.params,
        state=SlotState(row.state),
        trial_number=row.trial_number,
        worker=row.worker,
        message=row.message,
        value=row.value,
        epochs=0 if last is None else last.epoch,
        map50=None if last is None else last.map50,
        map50_95=None if last is None else last.map50_95,
    )


def _last_epochs(connection: Connection, of_slots: Collection[int]) -> dict[int, Row[Any]]:
    newest = (
        select(epochs.c.slot_id, func.max(epochs.c.epoch).label("epoch"))
        .where(epochs.c.slot_id.in_(of_slots))
        .group_by(epochs.c.slot_id)
        .subquery()
    )
    same = and_(newest.c.slot_id == epochs.c.slot_id, newest.c.epoch == epochs.c.epoch)
    columns = (epochs.c.slot_id, epochs.c.epoch, epochs.c.map50, epochs.c.map50_95)
    rows: list[Row[Any]] = [*connection.execute(select(*columns).join(newest, same))]
    return {row.slot_id: row for row in rows}


def _unplanned(connection: Connection, own: ColumnElement[bool]) -> dict[str, int]:
    rows = connection.execute(
        select(attempts.c.ending, func.count().label("attempts"))
        .join(slots, slots.c.id == attempts.c.slot_id)
        .where(own, attempts.c.ending.not_in([SlotState.COMPLETE, SlotState.PRUNED]))
        .group_by(attempts.c.ending)
        .order_by(attempts.c.ending)
    )
    return {row.ending: row.attempts for row in rows}


def _epoch_s(connection: Connection, of_stages: Collection[int]) -> float | None:
    """Average the epochs of some slots of each kind: those claimed last, by their ordinal."""
    sampled: list[int] = []
    for stage in of_stages:
        for state in (SlotState.RUNNING, SlotState.COMPLETE, SlotState.PRUNED):
            latest = (
                select(slots.c.id)
                .where(slots.c.stage_id == stage, slots.c.state == state)
                .order_by(slots.c.ordinal.desc())
                .limit(_SAMPLED)
            )
            sampled += connection.execute(latest).scalars()
    reports = connection.execute(select(epochs.c.report).where(epochs.c.slot_id.in_(sampled)))
    seconds = [float(report["seconds"]) for report in reports.scalars()]
    return mean(seconds) if seconds else None
