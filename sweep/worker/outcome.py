"""How an attempt at a slot ends: the slot is settled, or given back."""

import logging
from collections.abc import Callable
from typing import Any

from storage import failpoints
from storage.queue.leases import Lease
from storage.queue.queue import Queue
from storage.queue.settling import Settled
from storage.queue.sweeps import Submission
from storage.states import SlotState
from sweep.errors import SweepError
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.plan import kind_of
from sweep.training.contract import FailureKind, TrialResult
from sweep.training.process.messages import Failed
from sweep.worker.disk import lacks_room
from sweep.worker.retry import Retry
from sweep.worker.serialization import to_json

DISK_FULL = "disk_full"
"""How an attempt ends that found no room to write; the slot goes on later or elsewhere."""

NOT_HERE = "not_here"
"""How an attempt ends when what it needs went away meanwhile; the slot goes on elsewhere."""


class Outcome:
    """The ways in which one attempt can end.

    Each of them raises `LeaseLost` if another worker holds the slot now, and `DatabaseGone` if the
    database is away when this process must leave at once.

    Args:
        queue: Where the slot is.
        submission: The slot's sweep as stored.
        spec: The slot's sweep, parsed.
        lease: The right to the slot.
        retry: Repeats calls while the database is away.
        lack: Says what trainings of the sweep lack here, if anything.
        log: Of the trial.
    """

    def __init__(
        self,
        queue: Queue,
        submission: Submission,
        spec: SweepSpec,
        lease: Lease,
        *,
        retry: Retry,
        lack: Callable[[], SweepError | None],
        log: logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self._queue = queue
        self._submission = submission
        self._spec = spec
        self._lease = lease
        self._kind = kind_of(lease.slot.stage)
        self._retry = retry
        self._lack = lack
        self._log = log

    def complete(self, result: TrialResult) -> Settled:
        """Settle the slot with the training's result."""
        self._log.info(
            "complete, best epoch %d  mAP50 %.3f  mAP50-95 %.3f",
            *(result.best_epoch, result.map50, result.map50_95),
        )
        value = float(getattr(result, self._spec.objective))
        return self._settle(SlotState.COMPLETE, result=to_json(result), value=value)

    def prune(self) -> Settled:
        """Settle the slot as the pruner decided."""
        pruner = self._kind.pruner(self._spec)
        return self._settle(SlotState.PRUNED, message=f"the {pruner} pruner expected nothing of it")

    def cancel(self) -> Settled:
        """Settle the slot of a cancelled sweep."""
        self._log.info("cancelled")
        return self._settle(
            SlotState.CANCELLED,
            failure_kind=FailureKind.CANCELLED,
            message="the sweep was cancelled",
        )

    def fail(self, failed: Failed) -> Settled | None:
        """Do what the failure's kind says: fail the slot, prune it, or give it back."""
        kind, message = failed.kind, failed.message
        if kind is FailureKind.CRASHED and lacks_room(self._submission.runs):
            return self.release(DISK_FULL, f"no room left below {self._submission.runs}")
        if kind in (FailureKind.CRASHED, FailureKind.DATA):
            lack = self._retry(self._lack)
            if lack is not None:
                return self.release(NOT_HERE, str(lack))
        self._log.warning("%s: %s", kind, message)
        if kind is FailureKind.DIVERGED and self._kind.prunes_diverged:
            return self._settle(SlotState.PRUNED, failure_kind=kind, message=message)
        retries, counted = self._spec.retries.of(kind)
        settled = self._retry(
            lambda: self._queue.fail(self._lease, kind, message, retries=retries, counted=counted)
        )
        failpoints.reached(failpoints.SETTLED)
        if settled is None:
            self._log.info("is tried again")
        return settled

    def release(self, reason: str, message: str | None = None) -> Settled | None:
        """Give the slot back; `reason` is one word, kept with the attempt.

        Returns:
            The slot where its sweep was cancelled meanwhile, so that it ended instead; else None.
        """
        settled = self._retry(lambda: self._queue.release(self._lease, reason, message))
        failpoints.reached(failpoints.SETTLED)
        self._log.info(
            "%s", f"given back ({message or reason})" if settled is None else "cancelled"
        )
        return settled

    def _settle(self, state: SlotState, **values: Any) -> Settled:
        settled = self._retry(lambda: self._queue.settle(self._lease, state, **values))
        failpoints.reached(failpoints.SETTLED)
        return settled
