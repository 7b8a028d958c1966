"""Which slot a worker gets next."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select, true, update

from storage.engine import now_s
from storage.queue.slots import Slot, any_slot, of_stage, slot_of
from storage.queue.takeover import Watch
from storage.states import SlotState, StageState, SweepState
from storage.tables import slots, stages, sweeps

Claimed = tuple[Slot, int]
"""A slot and the number of the attempt that begins."""


def claim_queued(
    connection: Connection, names: Collection[str], values: Mapping[str, Any]
) -> Claimed | None:
    """Take the first queued slot of the most urgent sweep, by priority and age.

    Args:
        connection: In a transaction that writes.
        names: Sweeps to look at; all when empty.
        values: What a claim writes into the slot.
    """
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
            return slot_of(claimed, stage), claimed.attempt
    return None


def claim_abandoned(
    connection: Connection, names: Collection[str], values: Mapping[str, Any], watch: Watch
) -> Claimed | None:
    """Take over a slot whose worker is lost; also one of a cancelled sweep, which ends so.

    Args:
        connection: In a transaction that writes.
        names: Sweeps to look at; all when empty.
        values: What a claim writes into the slot.
        watch: Knows which workers are lost.
    """
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
    return None if claimed is None else (slot_of(claimed, found[claimed.stage_id]), claimed.attempt)


def named(names: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that a sweep is one of these; true for all when there are none."""
    return sweeps.c.name.in_(list(names)) if names else true()


def _open_stages(names: Collection[str]) -> Select[Any]:
    return (
        select(*of_stage())
        .join(sweeps, sweeps.c.id == stages.c.sweep_id)
        .where(stages.c.state == StageState.OPEN, named(names))
    )
