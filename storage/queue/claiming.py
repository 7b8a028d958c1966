"""Which slot a worker gets next."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select, update

from storage.engine import now_s
from storage.process_identity import ProcessIdentity
from storage.queue import attempts
from storage.queue.leases import LEASE_S, Lease
from storage.queue.slots import Slot, any_slot, named, of_stage
from storage.queue.takeover import LeaseWatch
from storage.states import SlotState, StageState, SweepState
from storage.tables import record_of, slots, stages, sweeps


def claim(
    connection: Connection,
    worker: str,
    owner: ProcessIdentity,
    names: Collection[str],
    watch: LeaseWatch,
) -> Lease | None:
    """Take a queued slot, or one whose worker is lost; those come first when the watch is due.

    Args:
        connection: In a transaction that writes.
        worker: Who takes it.
        owner: The worker's process.
        names: Sweeps to look at; all when empty.
        watch: Knows which workers are lost.
    """
    values = {
        "state": SlotState.RUNNING,
        "attempt": slots.c.attempt + 1,
        "worker": worker,
        "owner": vars(owner),
        "owner_host": owner.machine,
        "lease_until": now_s() + LEASE_S,
    }
    if watch.due:
        return _claim_abandoned(connection, names, values, watch) or _claim_queued(
            connection, names, values
        )
    return _claim_queued(connection, names, values) or _claim_abandoned(
        connection, names, values, watch
    )


def _claim_queued(
    connection: Connection, names: Collection[str], values: Mapping[str, Any]
) -> Lease | None:
    """Take the first queued slot of the most urgent sweep, by priority and age."""
    queued = slots.c.state == SlotState.QUEUED
    for stage in connection.execute(
        _open_stages(names)
        .where(sweeps.c.state == SweepState.ACTIVE, any_slot(queued).is_not(None))
        .order_by(sweeps.c.priority.desc(), stages.c.id)
    ).all():
        first = (
            select(slots.c.id)
            .where(slots.c.stage_id == stage.stage_id, queued)
            .order_by(slots.c.ordinal)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        claimed = connection.execute(
            update(slots)
            .where(slots.c.id == first, queued)
            .values(started_at=func.coalesce(slots.c.started_at, now_s()), **values)
            .returning(*slots.c)
        ).first()
        if claimed is not None:
            return _begin(connection, claimed, stage)
    return None


def _claim_abandoned(
    connection: Connection, names: Collection[str], values: Mapping[str, Any], watch: LeaseWatch
) -> Lease | None:
    """Take over a slot whose worker is lost; also one of a cancelled sweep, which ends so."""
    served = sweeps.c.state.in_([SweepState.ACTIVE, SweepState.CANCELLED])
    found: dict[int, Row[Any]] = {
        stage.stage_id: stage for stage in connection.execute(_open_stages(names).where(served))
    }
    lost = watch.abandoned(connection, found.keys())
    if lost is None:
        return None
    claimed = connection.execute(
        update(slots)
        .where(
            slots.c.id == lost.id,
            slots.c.attempt == lost.attempt,
            slots.c.state == SlotState.RUNNING,
            slots.c.lease_until == lost.lease_until,
        )
        .values(**values)
        .returning(*slots.c)
    ).first()
    return None if claimed is None else _begin(connection, claimed, found[claimed.stage_id])


def _open_stages(names: Collection[str]) -> Select[Any]:
    return (
        select(stages.c.id.label("stage_id"), *of_stage())
        .join(sweeps, sweeps.c.id == stages.c.sweep_id)
        .where(stages.c.state == StageState.OPEN, named(names))
    )


def _begin(connection: Connection, slot: Row[Any], stage: Row[Any]) -> Lease:
    """Note the attempt that begins with the claim of a slot."""
    attempts.begin(connection, slot.id, slot.attempt, slot.worker)
    first = slot.attempt == 1
    return Lease(
        slot=record_of(Slot, slot, **stage._mapping),
        attempt=slot.attempt,
        worker=slot.worker,
        lost=0
        if first
        else attempts.count(connection, slot.id, [attempts.LOST], before=slot.attempt),
        since=0 if first else attempts.last_retry(connection, slot.id),
    )
