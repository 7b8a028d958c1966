"""A whole sweep as it is at one moment, read in one snapshot."""

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, select

from storage.engine import now_s, reading
from storage.queue.sweeps import get
from storage.snapshot.records import EpochRecord, SlotRecord, StageRecord, SweepRecord, WorkerRecord
from storage.states import SlotState, StageState, SweepState
from storage.tables import attempts, epochs, slots, stages, sweeps, workers

WORKER_FORGOTTEN_S = 600.0
"""A worker without a sign of life for so long is not shown any more."""


def read(engine: Engine, name: str) -> SweepRecord:
    """Read a sweep with its stages, slots, epochs and workers.

    Raises:
        SweepNotFound: If there is no sweep of this name.
    """
    sweep_id = get(engine, name).id
    with reading(engine) as connection:
        sweep = connection.execute(select(sweeps).where(sweeps.c.id == sweep_id)).one()
        return SweepRecord(
            name=sweep.name,
            spec=sweep.spec,
            spec_hash=sweep.spec_hash,
            dataset=sweep.dataset or "",
            fingerprint=sweep.fingerprint,
            runs=sweep.runs,
            state=SweepState(sweep.state),
            created_at=_utc(sweep.created_at),
            stages=_stages(connection, sweep.id),
            workers=workers_of(connection, sweep.id),
        )


def _stages(connection: Connection, sweep_id: int) -> tuple[StageRecord, ...]:
    stage_rows = connection.execute(
        select(stages).where(stages.c.sweep_id == sweep_id).order_by(stages.c.position)
    ).all()
    of_sweep = slots.c.stage_id.in_([row.id for row in stage_rows])
    per_slot: dict[int, list[EpochRecord]] = defaultdict(list)
    for row in connection.execute(
        select(epochs)
        .join(slots, slots.c.id == epochs.c.slot_id)
        .where(of_sweep)
        .order_by(epochs.c.epoch)
    ):
        per_slot[row.slot_id].append(_epoch(row))
    per_stage: dict[int, list[SlotRecord]] = defaultdict(list)
    for row in connection.execute(select(slots).where(of_sweep).order_by(slots.c.ordinal)):
        per_stage[row.stage_id].append(_slot(row, per_slot[row.id]))
    endings: dict[int, dict[str, int]] = defaultdict(dict)
    for found in connection.execute(
        select(slots.c.stage_id, attempts.c.ending, func.count().label("attempts"))
        .join(slots, slots.c.id == attempts.c.slot_id)
        .where(of_sweep, attempts.c.ending.is_not(None))
        .group_by(slots.c.stage_id, attempts.c.ending)
    ):
        endings[found.stage_id][found.ending] = found.attempts
    return tuple(
        StageRecord(
            id=row.id,
            name=row.name,
            study=row.study,
            state=StageState(row.state),
            epochs=row.epochs,
            slots=tuple(per_stage[row.id]),
            endings=endings[row.id],
        )
        for row in stage_rows
    )


def workers_of(connection: Connection, sweep_id: int) -> tuple[WorkerRecord, ...]:
    """Read the workers seen lately that are at a sweep or idle."""
    age = (now_s() - workers.c.last_seen).label("age")
    rows = connection.execute(
        select(workers, age, stages.c.sweep_id)
        .outerjoin(slots, slots.c.id == workers.c.slot_id)
        .outerjoin(stages, stages.c.id == slots.c.stage_id)
        .order_by(workers.c.id)
    ).all()
    return tuple(
        WorkerRecord(
            id=row.id, host=row.host, device=row.device, slot=row.slot_id, last_seen_s=row.age
        )
        for row in rows
        if row.age < WORKER_FORGOTTEN_S and row.sweep_id in (None, sweep_id)
    )


def _epoch(row: Row[Any]) -> EpochRecord:
    return EpochRecord(
        epoch=row.epoch,
        map50=row.map50,
        map50_95=row.map50_95,
        report=row.report,
        decision=row.decision or "continue",
    )


def _slot(row: Row[Any], of_slot: list[EpochRecord]) -> SlotRecord:
    return SlotRecord(
        id=row.id,
        ordinal=row.ordinal,
        label=row.label,
        params=row.params,
        state=SlotState(row.state),
        attempt=row.attempt,
        trial_number=row.trial_number,
        worker=row.worker,
        failure_kind=row.failure_kind,
        message=row.message,
        result=row.result,
        started_at=None if row.started_at is None else _utc(row.started_at),
        finished_at=None if row.finished_at is None else _utc(row.finished_at),
        epochs=tuple(of_slot),
    )


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
