"""A worker's right to a slot: every write checks that it still has it."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, update

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
    written = connection.execute(
        update(slots)
        .where(
            slots.c.id == lease.slot.id,
            slots.c.attempt == lease.attempt,
            slots.c.worker == lease.worker,  # SQLite gives a deleted slot's id to another one
            slots.c.state == SlotState.RUNNING,
        )
        .values(**values)
    )
    if written.rowcount == 0:
        raise LeaseLost(f"slot {lease.slot.id}: attempt {lease.attempt} was taken over or settled")


def renew(connection: Connection, lease: Lease, **values: Any) -> None:
    """Let the lease hold for `LEASE_S` from now, and note its worker's sign of life.

    Args:
        connection: In a transaction that writes.
        lease: The right to the slot.
        values: What else to write into the slot.

    Raises:
        LeaseLost: If another worker holds the slot now.
    """
    write_under(connection, lease, lease_until=now_s() + LEASE_S, **values)
    connection.execute(
        update(workers).where(workers.c.id == lease.worker).values(last_seen=now_s())
    )
