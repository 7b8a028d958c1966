"""Where slots, stages and sweeps stand."""

from enum import StrEnum


class SlotState(StrEnum):
    """Where a slot stands. COMPLETE, PRUNED, FAILED and CANCELLED are final."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether the slot can change no more."""
        return self not in (SlotState.QUEUED, SlotState.RUNNING)


class StageState(StrEnum):
    """WAITING: its slots depend on an earlier stage. DONE: every slot is final."""

    WAITING = "waiting"
    OPEN = "open"
    DONE = "done"


class SweepState(StrEnum):
    """What workers do with a sweep: only ACTIVE ones are served.

    DELETING: a part of it may be gone; all that can be done with it is to delete the rest.
    """

    ACTIVE = "active"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    DONE = "done"
    DELETING = "deleting"
