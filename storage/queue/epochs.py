"""The committed epochs of a slot, and what was decided on each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select, update

from storage.engine import now_s, upsert
from storage.queue.leases import Lease, renew, write_under
from storage.queue.slots import Slot
from storage.states import SweepState
from storage.tables import epochs, slots, sweeps


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a worker learns when it commits an epoch."""

    decision: str | None
    """What was already decided on this epoch, by an earlier attempt; None if nothing was."""
    sweep: SweepState
    """Whether the sweep goes on."""


def record(
    connection: Connection,
    slot: Slot,
    *,
    epoch: int,
    map50: float,
    map50_95: float,
    report: Mapping[str, Any],
) -> Standing:
    """Commit an epoch unless it is there; an earlier attempt's stays as it is."""
    connection.execute(
        upsert(connection, epochs)
        .values(
            slot_id=slot.id,
            epoch=epoch,
            map50=map50,
            map50_95=map50_95,
            report=dict(report),
            recorded_at=now_s(),
        )
        .on_conflict_do_nothing()
    )
    decided = select(epochs.c.decision).where(epochs.c.slot_id == slot.id, epochs.c.epoch == epoch)
    state = select(sweeps.c.state).where(sweeps.c.id == slot.sweep_id)
    decision, sweep = connection.execute(
        select(decided.scalar_subquery(), state.scalar_subquery())
    ).one()
    return Standing(decision=decision, sweep=sweep)


def begin_anew(connection: Connection, lease: Lease) -> None:
    """Drop the epochs of the attempts before, and the slot's trial; again changes nothing.

    Raises:
        LeaseLost: If another worker holds the slot now.
    """
    renew(connection, lease)
    begun = select(slots.c.epochs_from).where(slots.c.id == lease.slot.id)
    if connection.execute(begun).scalar_one() == lease.attempt:
        return
    write_under(
        connection,
        lease,
        epochs_from=lease.attempt,
        device_kind=lease.device_kind,
        trial_id=None,
        trial_number=None,
    )
    connection.execute(delete(epochs).where(epochs.c.slot_id == lease.slot.id))


def decide(connection: Connection, slot: Slot, *, epoch: int, decision: str) -> None:
    """Commit what was decided after an epoch."""
    connection.execute(
        update(epochs)
        .where(epochs.c.slot_id == slot.id, epochs.c.epoch == epoch)
        .values(decision=decision)
    )
