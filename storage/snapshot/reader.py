"""The one place that reads our tables for everything that only looks.

`read_sweep` reads everything. `read_summary` is for looking every second: what it costs does not
grow with what was done, for it counts in the database and reads single slots only where something
moves.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from statistics import mean
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, and_, bindparam, func, or_, select

from storage.contents import fault_of_params, fault_of_report, fault_of_result
from storage.engine import now_s, reading
from storage.errors import RowUnreadable
from storage.queue.sweeps import find
from storage.readable import Unreadable, require_readable, unreadable
from storage.snapshot.records import (
    EpochRecord,
    SlotRecord,
    StageRecord,
    StageSummary,
    SweepRecord,
    SweepSummary,
    WorkerRecord,
)
from storage.states import SlotState
from storage.tables import attempts, epochs, record_of, slots, stages, workers

WORKER_FORGOTTEN_S = 600.0
"""A worker without a sign of life for so long is not shown any more."""
_OVERLAP_S = 2.0
"""A change is seen when its transaction ends, with the time at which it was made before."""
_FAILED_SHOWN = 20
_SAMPLED = 20


def read_sweep(engine: Engine, name: str) -> SweepRecord:
    """Read a sweep with its stages, slots, epochs and workers.

    Raises:
        SweepNotFound: If there is no sweep of this name.
    """
    notes: list[str] = []
    with reading(engine) as connection:
        sweep = find(connection, name)
        return SweepRecord(
            **vars(sweep),
            stages=tuple(_stage(connection, row, notes) for row in _stages(connection, sweep.id)),
            workers=_workers(connection, sweep.id, notes),
            unreadable=tuple(notes),
        )


def read_summary(engine: Engine, name: str, *, since_s: float | None = None) -> SweepSummary:
    """Read how far a sweep is.

    Args:
        engine: The database.
        name: The sweep.
        since_s: When the caller looked last (`SweepSummary.at_s`). What ended since, or a little
            before, is among the moving slots; without it only the running ones are.

    Raises:
        SweepNotFound: If there is no sweep of this name.
    """
    notes: list[str] = []
    with reading(engine) as connection:
        sweep = find(connection, name)
        found = _stages(connection, sweep.id)
        return SweepSummary(
            name=name,
            spec=sweep.spec,
            state=sweep.state,
            priority=sweep.priority,
            created_at=sweep.created_at,
            at_s=connection.execute(select(now_s())).scalar_one(),
            stages=tuple(_stage_summary(connection, row, since_s, notes) for row in found),
            workers=_workers(connection, sweep.id, notes),
            epoch_s=_epoch_s(connection, [row.id for row in found]),
            unreadable=tuple(dict.fromkeys(notes)),
        )


def read_epochs(engine: Engine, slot: int) -> list[EpochRecord]:
    """Read the committed epochs of a slot, in order; those that cannot be read are left out."""
    of_slot = {"of_slot": slot}
    with reading(engine) as connection:
        rows = connection.execute(_EPOCHS_OF_SLOT, of_slot).all()
        of = connection.execute(_EPOCHS_TO_TRAIN, of_slot).scalar()
        return _epochs(rows, of=of, notes=[]).get(slot, [])


def _stages(connection: Connection, sweep_id: int) -> list[Row[Any]]:
    return list(connection.execute(_STAGES, {"of_sweep": sweep_id}))


def _stage(connection: Connection, stage: Row[Any], notes: list[str]) -> StageRecord:
    of_stage = {"of_stage": stage.id}
    return record_of(
        StageRecord,
        stage,
        slots=_slots(
            connection.execute(_SLOTS, of_stage),
            connection.execute(_EPOCHS, of_stage),
            stage,
            notes,
        ),
        endings=_endings(connection, stage.id),
    )


def _stage_summary(
    connection: Connection, stage: Row[Any], since_s: float | None, notes: list[str]
) -> StageSummary:
    own = slots.c.stage_id == stage.id
    counted = connection.execute(
        select(slots.c.state, func.count().label("slots")).where(own).group_by(slots.c.state)
    )
    counts = {row.state: row.slots for row in counted}
    moving = slots.c.state == SlotState.RUNNING
    if since_s is not None:
        moving = or_(moving, slots.c.finished_at > since_s - _OVERLAP_S)
    failed = slots.c.state.in_([SlotState.FAILED, SlotState.CANCELLED])
    of_stage = select(slots).where(own)
    in_order = of_stage.order_by(slots.c.ordinal)
    best = of_stage.where(slots.c.state == SlotState.COMPLETE, slots.c.value > 0).order_by(
        slots.c.value.desc(), slots.c.ordinal
    )

    def glanced_at(query: Select[Any]) -> tuple[SlotRecord, ...]:
        return _glanced_at(connection, query, stage, notes)

    return record_of(
        StageSummary,
        stage,
        endings=_endings(connection, stage.id),
        counts={state: counts.get(state, 0) for state in SlotState},
        # The first one may be unreadable.
        best=next(iter(glanced_at(best.limit(1)) or glanced_at(best.limit(_SAMPLED))), None),
        moving=glanced_at(in_order.where(moving)),
        failed=glanced_at(
            in_order.where(failed, slots.c.trial_number.is_not(None)).limit(_FAILED_SHOWN)
        ),
    )


def _glanced_at(
    connection: Connection, query: Select[Any], stage: Row[Any], notes: list[str]
) -> tuple[SlotRecord, ...]:
    """Read slots with their last epochs."""
    rows = connection.execute(query).all()
    last = (
        select(epochs.c.slot_id, func.max(epochs.c.epoch).label("epoch"))
        .where(epochs.c.slot_id.in_([row.id for row in rows]))
        .group_by(epochs.c.slot_id)
        .subquery()
    )
    same = and_(last.c.slot_id == epochs.c.slot_id, last.c.epoch == epochs.c.epoch)
    return _slots(rows, connection.execute(select(epochs).join(last, same)), stage, notes)


def _slots(
    rows: Iterable[Row[Any]], of_slots: Iterable[Row[Any]], stage: Row[Any], notes: list[str]
) -> tuple[SlotRecord, ...]:
    """Put rows of slots and of their epochs together; note those that cannot be read."""
    found = _epochs(of_slots, of=stage.epochs, notes=notes)
    kept: list[SlotRecord] = []
    for row in rows:
        with _noted(notes):
            require_readable(row)
            slot = record_of(SlotRecord, row, epochs=tuple(found.get(row.id, ())))
            fault = fault_of_params(slot.params or {})
            if slot.state is SlotState.COMPLETE:
                fault = fault or fault_of_result(slot.result)
            if fault is not None:
                raise unreadable(row, fault)
            kept.append(slot)
    return tuple(kept)


def _epochs(
    rows: Iterable[Row[Any]], *, of: Any, notes: list[str]
) -> Mapping[int, list[EpochRecord]]:
    """Return epochs by slot, of a stage of so many; note those that cannot be read."""
    found: dict[int, list[EpochRecord]] = defaultdict(list)
    for row in rows:
        with _noted(notes):
            require_readable(row)
            epoch = record_of(EpochRecord, row)
            fault = fault_of_report(epoch.report)
            if isinstance(of, int) and not 1 <= epoch.epoch <= of:
                fault = f"epochs.epoch: allowed is 1 to {of}"
            if fault is not None:
                raise unreadable(row, fault)
            found[row.slot_id].append(epoch)
    return found


@contextmanager
def _noted(notes: list[str]) -> Iterator[None]:
    """Note a row that cannot be read, and go on."""
    try:
        yield
    except RowUnreadable as error:
        notes.append(str(error))


def _endings(connection: Connection, stage_id: int) -> dict[str, int]:
    rows = connection.execute(_ENDINGS, {"of_stage": stage_id})
    return {str(row.ending): row.attempts for row in rows if not isinstance(row.ending, Unreadable)}


def _workers(connection: Connection, sweep_id: int, notes: list[str]) -> tuple[WorkerRecord, ...]:
    """Read the workers seen lately that are at a sweep or idle."""
    kept: list[WorkerRecord] = []
    for row in connection.execute(_WORKERS):
        if row.sweep_id in (None, sweep_id):
            with _noted(notes):
                require_readable(row)
                worker = record_of(WorkerRecord, row)
                if worker.last_seen_s < WORKER_FORGOTTEN_S:
                    kept.append(worker)
    return tuple(kept)


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
            sampled += [one for one in connection.execute(latest).scalars() if type(one) is int]
    reports = connection.execute(select(epochs.c.report).where(epochs.c.slot_id.in_(sampled)))
    seconds = [
        found
        for report in reports.scalars()
        if isinstance(report, dict) and isinstance(found := report.get("seconds"), int | float)
    ]
    return mean(seconds) if seconds else None


_OF_STAGE = slots.c.stage_id == bindparam("of_stage")
_STAGES = (
    select(stages).where(stages.c.sweep_id == bindparam("of_sweep")).order_by(stages.c.position)
)
_SLOTS = select(slots).where(_OF_STAGE).order_by(slots.c.ordinal)
_EPOCHS = (
    select(epochs)
    .join(slots, slots.c.id == epochs.c.slot_id)
    .where(_OF_STAGE)
    .order_by(epochs.c.epoch)
)
_EPOCHS_OF_SLOT = (
    select(epochs).where(epochs.c.slot_id == bindparam("of_slot")).order_by(epochs.c.epoch)
)
_EPOCHS_TO_TRAIN = (
    select(stages.c.epochs)
    .join(slots, slots.c.stage_id == stages.c.id)
    .where(slots.c.id == bindparam("of_slot"))
)
_ENDINGS = (
    select(attempts.c.ending, func.count().label("attempts"))
    .join(slots, slots.c.id == attempts.c.slot_id)
    .where(_OF_STAGE, attempts.c.ending.is_not(None))
    .group_by(attempts.c.ending)
    .order_by(attempts.c.ending)
)
_WORKERS = (
    select(
        workers,
        workers.c.slot_id.label("slot"),
        (now_s() - workers.c.last_seen).label("last_seen_s"),
        stages.c.sweep_id,
    )
    .outerjoin(slots, slots.c.id == workers.c.slot_id)
    .outerjoin(stages, stages.c.id == slots.c.stage_id)
    .order_by(workers.c.id)
)
