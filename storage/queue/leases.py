"""Writing into a slot only while its lease holds: every write checks the fencing token."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, update

from storage.engine import now_s
from storage.errors import LeaseLost
from storage.queue.slots import Lease
from storage.states import SlotState
from storage.tables import slots, workers


def change(connection: Connection, lease: Lease, values: Mapping[str, Any]) -> None:
    """Write values into the lease's slot.

    Raises:
        LeaseLost: If another worker holds the slot now.
    """
    changed = connection.execute(
        update(slots)
        .where(
            slots.c.id == lease.slot.id,
            slots.c.attempt == lease.attempt,
            slots.c.state == SlotState.RUNNING,
        )
        .values(**values)
    )
    if changed.rowcount == 0:
        raise LeaseLost(f"slot {lease.slot.id}: attempt {lease.attempt} was taken over or settled")


def prolong(connection: Connection, lease: Lease, lease_s: float) -> None:
    """Let the lease hold for `lease_s` from now, and note its worker's sign of life.

    Raises:
        LeaseLost: If another worker holds the slot now.
    """
    change(connection, lease, {"lease_until": now_s() + lease_s})
    connection.execute(
        update(workers).where(workers.c.id == lease.worker).values(last_seen=now_s())
    )
