"""How an attempt at a slot ends: the slot is settled, or given back."""

from collections.abc import Callable
from typing import Any

from storage import faults
from storage.queue import Queue
from storage.records import SlotState
from storage.slots import Lease, Settled
from storage.sweeps import Submission
from sweep import stages
from sweep.patience import Patience
from sweep.plain import plain
from sweep.room import lacks_room
from sweep.spec import SweepSpec
from sweep.training.job import FailureKind, TrialResult
from sweep.training.messages import Failed

DISK_FULL = "disk_full"
"""How an attempt ends that found no room to write; the slot goes on later or elsewhere."""


class Ending:
    """The ways in which one attempt can end.

    Each of them raises `LeaseLost` if another worker holds the slot now, and `DatabaseGone` if the
    database is away when this process must leave at once.

    Args:
        queue: Where the slot is.
        submission: The slot's sweep as stored.
        spec: The slot's sweep, parsed.
        lease: The right to the slot.
        patience: Repeats calls while the database is away.
        say: Told in one line what happens.
    """

    def __init__(
        self,
        queue: Queue,
        submission: Submission,
        spec: SweepSpec,
        lease: Lease,
        *,
        patience: Patience,
        say: Callable[[str], None],
    ) -> None:
        self._queue = queue
        self._submission = submission
        self._spec = spec
        self._lease = lease
        self._patiently = patience
        self._say = say
        self.disk_full = False
        """Whether the attempt ended because nothing can be written to the run folder."""

    def complete(self, result: TrialResult) -> Settled:
        """Settle the slot with the training's result."""
        self._say(
            f"complete, best epoch {result.best_epoch}"
            f"  mAP50 {result.map50:.3f}  mAP50-95 {result.map50_95:.3f}"
        )
        value = float(getattr(result, self._spec.objective))
        return self._settle(SlotState.COMPLETE, result=plain(result), value=value)

    def prune(self) -> Settled:
        """Settle the slot as the pruner decided."""
        message = f"the {self._spec.search.pruner} pruner expected nothing of it"
        return self._settle(SlotState.PRUNED, message=message)

    def cancel(self) -> Settled:
        """Settle the slot of a cancelled sweep."""
        self._say("cancelled")
        return self._settle(
            SlotState.CANCELLED,
            failure_kind=FailureKind.CANCELLED,
            message="the sweep was cancelled",
        )

    def fail(self, failed: Failed) -> Settled | None:
        """Do what the failure's kind says: fail the slot, prune it, or give it back."""
        kind, message = failed.kind, failed.message
        if kind is FailureKind.CRASHED and lacks_room(self._submission.runs):
            self.disk_full = True
            self.release(DISK_FULL, f"no room left below {self._submission.runs}")
            return None
        self._say(f"{kind}: {message}")
        if kind is FailureKind.DIVERGED and self._lease.slot.stage == stages.SEARCH:
            return self._settle(SlotState.PRUNED, failure_kind=kind, message=message)
        retries, counted = self._spec.retries.of(kind)
        settled = self._patiently(
            lambda: self._queue.fail(self._lease, kind, message, retries=retries, counted=counted)
        )
        faults.reached(faults.SETTLED)
        if settled is None:
            self._say("is tried again")
        return settled

    def release(self, reason: str, message: str | None = None) -> None:
        """Give the slot back; `reason` is one word, kept with the attempt."""
        self._patiently(lambda: self._queue.release(self._lease, reason, message))
        self._say(f"given back ({message or reason})")

    def _settle(self, state: SlotState, **values: Any) -> Settled:
        settled = self._patiently(lambda: self._queue.settle(self._lease, state, **values))
        faults.reached(faults.SETTLED)
        return settled
