"""A worker's right to a slot: every write checks that it still has it."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Float, Update, bindparam, update

from storage.engine import now_s
from storage.errors import LeaseLost
from storage.queue.slots import Slot
from storage.states import SlotState
from storage.tables import slots, workers

LEASE_S = 60.0
"""How long a lease holds without renewal."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A worker's time-limited right to a slot."""

    slot: Slot
    attempt: int
    """The fencing token: every write checks that it is still the slot's."""
    worker: str
    lost: int = 0
    """How many earlier attempts ended with their worker."""
    since: int = 0
    """Attempts up to this one are not gone on from: the slot began anew after them."""
    device_kind: str | None = None
    """What kind of device the worker trains on; None where it does not say."""
    anew: bool = False
    """Whether the slot was begun on another kind of device, so that it must begin anew on this."""


def write_under(connection: Connection, lease: Lease, **values: Any) -> None:
    """Write values into the lease's slot.

    Raises:
        LeaseLost: If another worker holds the slot now.
    """
    _write(connection, lease, _HELD.values(**values))


def renew(connection: Connection, lease: Lease, *, device_kind: str | None = None) -> None:
    """Let the lease hold for `LEASE_S` from now, and note its worker's sign of life.

    Args:
        connection: In a transaction that writes.
        lease: The right to the slot.
        device_kind: On what the slot was begun, to be noted.

    Raises:
        LeaseLost: If another worker holds the slot now.
    """
    if device_kind is None:
        _write(connection, lease, _RENEW, for_s=LEASE_S)
    else:
        _write(connection, lease, _RENEW_BEGUN, for_s=LEASE_S, of_kind=device_kind)
    connection.execute(_SEEN, {"of_worker": lease.worker})


def _write(connection: Connection, lease: Lease, statement: Update, **values: Any) -> None:
    of = {"of_slot": lease.slot.id, "of_attempt": lease.attempt, "of_worker": lease.worker}
    if connection.execute(statement, of | values).rowcount == 0:
        raise LeaseLost(f"slot {lease.slot.id}: attempt {lease.attempt} was taken over or settled")


_HELD = update(slots).where(
    slots.c.id == bindparam("of_slot"),
    slots.c.attempt == bindparam("of_attempt"),
    slots.c.worker == bindparam("of_worker"),  # SQLite gives a deleted slot's id to another one
    slots.c.state == SlotState.RUNNING,
)
_RENEW = _HELD.values(lease_until=now_s() + bindparam("for_s", type_=Float))
_RENEW_BEGUN = _RENEW.values(device_kind=bindparam("of_kind"))
_SEEN = update(workers).where(workers.c.id == bindparam("of_worker")).values(last_seen=now_s())
