"""The committed epochs of a slot, and what was decided on each."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Insert, bindparam, delete, select, update

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
    of = {"of_slot": slot.id, "number": epoch}
    values = {"with_map50": map50, "with_map50_95": map50_95, "with_report": dict(report)}
    connection.execute(_record(connection.dialect.name), of | values)
    standing = connection.execute(_STANDING, of | {"of_sweep": slot.sweep_id})
    decision, sweep = standing.one()
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
    values = {"of_slot": slot.id, "number": epoch, "as_decision": decision}
    connection.execute(_DECIDE, values)


@cache
def _record(dialect: str) -> Insert:
    values = {
        "slot_id": bindparam("of_slot"),
        "epoch": bindparam("number"),
        "map50": bindparam("with_map50"),
        "map50_95": bindparam("with_map50_95"),
        "report": bindparam("with_report"),
        "recorded_at": now_s(),
    }
    return upsert(dialect, epochs).values(**values).on_conflict_do_nothing()


_THIS = (epochs.c.slot_id == bindparam("of_slot"), epochs.c.epoch == bindparam("number"))
_DECIDE = update(epochs).where(*_THIS).values(decision=bindparam("as_decision"))
_STANDING = select(
    select(epochs.c.decision).where(*_THIS).scalar_subquery(),
    select(sweeps.c.state).where(sweeps.c.id == bindparam("of_sweep")).scalar_subquery(),
)
