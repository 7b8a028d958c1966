"""How an attempt ends: its slot comes to a final state, or is given back.

A worker whose call was committed and not answered calls again. So an attempt that has ended as it
is told to end ends so again, and nothing changes: only its own worker can have ended it so.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, select, update

from storage.engine import now_s
from storage.errors import LeaseLost, RowUnreadable, SweepNotFound
from storage.queue import attempts
from storage.queue.leases import Lease, write_under
from storage.queue.locks import lock_sweep
from storage.queue.slots import Slot, any_slot, named, of_stage
from storage.queue.takeover import provably_dead
from storage.states import SlotState, SweepState
from storage.tables import record_of, slots, stages, sweeps

CANCELLED: Mapping[str, Any] = {
    "state": SlotState.CANCELLED,
    "failure_kind": SlotState.CANCELLED,
    "message": "the sweep was cancelled",
}
"""What is written into the slots of a cancelled sweep."""
_FREE: dict[str, Any] = {"worker": None, "owner": None, "owner_host": None, "lease_until": None}


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A slot in its final state, as the projection to Optuna needs it."""

    slot: Slot
    state: SlotState
    attempt: int
    worker: str | None
    failure_kind: str | None
    message: str | None
    result: Mapping[str, Any] | None


def settle(connection: Connection, lease: Lease, **values: Any) -> Settled:
    """Write a final state, and what belongs to it, into the lease's slot.

    Raises:
        LeaseLost: If another worker holds the slot now, or the attempt has ended otherwise.
    """
    try:
        write_under(connection, lease, finished_at=now_s(), unprojected=True, **values)
    except LeaseLost:
        before = _settled_before(connection, lease)
        if before is None or (before.state, before.failure_kind) != (
            values["state"],
            values.get("failure_kind"),
        ):
            raise
        return before
    row = connection.execute(_WITH_STAGE, {"of_slot": lease.slot.id}).one()
    settled = _settled(row)
    ending = settled.failure_kind or settled.state
    attempts.end(connection, lease.slot.id, lease.attempt, ending, settled.message)
    return settled


def release(
    connection: Connection, lease: Lease, reason: str, message: str | None
) -> Settled | None:
    """Queue the lease's slot again; in a cancelled sweep, settle it as cancelled.

    Returns:
        The slot where it was settled, None where it is queued.

    Raises:
        LeaseLost: If another worker holds the slot now, or the attempt has ended otherwise.
    """
    try:
        state = lock_sweep(connection, lease.slot.sweep_id)
    except SweepNotFound as error:
        raise LeaseLost(f"slot {lease.slot.id}: its sweep was deleted") from error
    if state is SweepState.CANCELLED:
        if attempts.ending(connection, lease.slot.id, lease.attempt) == reason:
            return None  # it was given back before, and cancelled while it was queued
        return settle(connection, lease, **CANCELLED)
    try:
        write_under(connection, lease, state=SlotState.QUEUED, **_FREE)
    except LeaseLost:
        if attempts.ending(connection, lease.slot.id, lease.attempt) != reason:
            raise
        return None
    attempts.end(connection, lease.slot.id, lease.attempt, reason, message)
    return None


def close(connection: Connection, settled: Settled) -> None:
    """Note that Optuna was told of a settled slot.

    Nothing is noted where it was queued again, or got another trial, since it was read: there is
    more to tell then.
    """
    of = {
        "of_slot": settled.slot.id,
        "of_attempt": settled.attempt,
        "in_state": settled.state,
        "of_trial": settled.slot.trial_id,
    }
    connection.execute(_CLOSE, of)


def unclosed(connection: Connection) -> list[str]:
    """List the sweeps with settled slots that Optuna was not told of, whatever is in them."""
    return [name for name in connection.execute(_UNCLOSED).scalars() if isinstance(name, str)]


def unprojected(
    connection: Connection, names: Collection[str], unreadable: list[str]
) -> list[Settled]:
    """List settled slots that Optuna was not told of, with no live owner to do it.

    Those that cannot be read are left out, and told of in `unreadable`.
    """
    expired = (slots.c.lease_until < now_s()).label("expired")
    rows = connection.execute(
        _with_stages().add_columns(expired).where(slots.c.unprojected, named(names))
    ).all()
    found = []
    for row in rows:
        if row.owner is None or row.expired or provably_dead(row.owner):
            try:
                found.append(_settled(row))
            except RowUnreadable as error:
                unreadable.append(str(error))
    return found


def _settled_before(connection: Connection, lease: Lease) -> Settled | None:
    """Return the lease's slot where this very attempt has settled it."""
    row = connection.execute(
        _with_stages().where(
            slots.c.id == lease.slot.id,
            slots.c.attempt == lease.attempt,
            slots.c.state.not_in([SlotState.QUEUED, SlotState.RUNNING]),
        )
    ).first()
    return None if row is None else _settled(row)


def _with_stages() -> Select[Any]:
    return (
        select(slots, *of_stage())
        .join_from(slots, stages, stages.c.id == slots.c.stage_id)
        .join(sweeps, sweeps.c.id == stages.c.sweep_id)
    )


def _settled(row: Row[Any]) -> Settled:
    return record_of(Settled, row, slot=record_of(Slot, row))


_WITH_STAGE = _with_stages().where(slots.c.id == bindparam("of_slot"))
_CLOSE = (
    update(slots)
    .where(
        slots.c.id == bindparam("of_slot"),
        slots.c.attempt == bindparam("of_attempt"),
        slots.c.state == bindparam("in_state"),
        slots.c.trial_id.is_not_distinct_from(bindparam("of_trial")),
    )
    .values(unprojected=False)
)
_UNCLOSED = (
    select(sweeps.c.name)
    .distinct()
    .join(stages, stages.c.sweep_id == sweeps.c.id)
    .where(any_slot(slots.c.unprojected).is_not(None))
)
