"""Whether it is a slot, or its sweep, that a worker stumbles over."""

from pydantic import ValidationError

from storage.errors import StorageError
from storage.queue.slots import Slot
from sweep.errors import SweepError

_IN_A_ROW = 3
"""So many slots of a sweep after one another are not each wrong for itself."""


class Stumbles:
    """Counts the slots of each sweep that a worker stumbled over, one after the other."""

    def __init__(self) -> None:
        self._slots: dict[str, set[int]] = {}

    def are_the_sweeps(self, slot: Slot, error: Exception) -> bool:
        """Whether the sweep or this host is wrong, rather than the slot whose attempt raised this.

        So say errors that are no slot's, and several slots after one another. The sweep is left for
        a while then; else it goes on with its other slots.
        """
        slots = self._slots.setdefault(slot.sweep, set())
        slots.add(slot.id)
        no_slots = SweepError | StorageError | ValidationError | OSError | MemoryError
        return isinstance(error, no_slots) or len(slots) >= _IN_A_ROW

    def over(self, sweep: str) -> None:
        """Note that an attempt at a slot of a sweep came to an end."""
        self._slots.pop(sweep, None)
