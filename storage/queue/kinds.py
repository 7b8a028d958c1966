"""Slots that were begun on one kind of device, and when another kind takes them from the start.

A training that goes on elsewhere keeps its kind of device, for its numbers depend on it. But it
must not wait for ever for a worker that never comes.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from storage.engine import now_s
from storage.tables import workers

PATIENCE_S = 600.0
"""For how long a process sees a slot wait for a worker of its kind before it takes it."""
LIVE_S = 120.0
"""A worker that gave a sign of life within this time may still take it."""


class KindWatch:
    """Tells which slots no worker of their kind of device will take.

    None of that kind is there; or there is one, but it serves other sweeps, or lacks what the
    slot's needs: then it has not taken the slot for as long as this process has watched it wait.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting_since: dict[tuple[int, int], float] = {}

    def given_up(self, connection: Connection, waiting: Sequence[Row[Any]]) -> Row[Any] | None:
        """Return the first of these slots that is not to wait any longer.

        Args:
            connection: To the database.
            waiting: All slots that wait for a worker of another kind: id, attempt, device_kind.
        """
        now = self._clock()
        self._waiting_since = {
            (slot.id, slot.attempt): self._waiting_since.get((slot.id, slot.attempt), now)
            for slot in waiting
        }
        if not waiting:
            return None
        seen = select(workers.c.device).where(workers.c.last_seen > now_s() - LIVE_S).distinct()
        devices = connection.execute(seen).scalars()
        live = {kind_of(device) for device in devices if isinstance(device, str)}
        for slot in waiting:
            waited_s = now - self._waiting_since[slot.id, slot.attempt]
            if slot.device_kind not in live or waited_s >= PATIENCE_S:
                return slot
        return None


def kind_of(device: str) -> str:
    """Return the kind of a device as workers name it: `cuda` of `cuda:1`."""
    return device.partition(":")[0]
