"""A training without a process: it trains when it is asked for its next message."""

from collections.abc import Callable
from typing import Any

import pytest

from sweep.testing import made_up_epoch
from sweep.training.contract import Decision, EpochReport, TrialJob, TrialResult
from sweep.training.process import forkserver
from sweep.training.process.messages import Completed, EpochDone, Message, Stopped
from sweep.worker import attempt, worker
from tests.in_process import ServerIsThere

Train = Callable[[TrialJob, int], EpochReport]


def made_up(job: TrialJob, epoch: int) -> EpochReport:
    return made_up_epoch(job.params, seed=job.seed, epoch=epoch)


class PuppetChild:
    """Stands in for `ChildProcess`."""

    silent_s = unseen_s = 0.0
    train: Train = staticmethod(made_up)
    """What comes of an epoch of a job."""

    def __init__(self, job: TrialJob) -> None:
        self._job = job
        self._reports: list[EpochReport] = []
        self._decision = Decision.CONTINUE

    @classmethod
    def start(cls, job: TrialJob) -> "PuppetChild":
        return cls(job)

    def receive(self, _timeout_s: float) -> Message:
        """Train an epoch, or end."""
        if self._decision is not Decision.CONTINUE:
            return Stopped(self._decision)
        if len(self._reports) == self._job.epochs:
            return Completed(TrialResult.from_epochs(self._reports, self._job.objective))
        self._reports.append(type(self).train(self._job, len(self._reports) + 1))
        return EpochDone(self._reports[-1])

    def answer(self, decision: Decision) -> None:
        self._decision = decision

    def kill(self) -> None:
        pass


def use_puppets(patch: pytest.MonkeyPatch, train: Train = made_up) -> None:
    """Let workers of this process train so."""

    class Child(PuppetChild):
        pass

    Child.train = staticmethod(train)  # type: ignore[method-assign,assignment]
    patch.setattr(attempt, "ChildProcess", Child)
    patch.setattr(forkserver, "warm_up", lambda _: None)
    patch.setattr(forkserver, "Readiness", ServerIsThere)


def never_waiting(patch: pytest.MonkeyPatch, retry: Any) -> None:
    """Let workers of this process wait for nothing."""
    patch.setattr(worker, "Retry", lambda shutdown: retry(shutdown, sleep=lambda _: None))
    patch.setattr(worker.time, "sleep", lambda _: None)
