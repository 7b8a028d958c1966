"""A worker whose trainings happen at once and in its own process."""

from typing import Any

import pytest

from storage.database import Database
from sweep.testing import made_up_epoch
from sweep.training.contract import (
    Decision,
    Device,
    EpochReport,
    FailureKind,
    TrialJob,
    TrialResult,
)
from sweep.training.process import forkserver
from sweep.training.process.messages import Completed, EpochDone, Failed, Message, Stopped
from sweep.worker import attempt, worker
from sweep.worker.shutdown import Shutdown
from sweep.worker.worker import Worker


class Child:
    """A training in this process, as its supervisor sees it."""

    silent_s = unseen_s = 0.0
    failing: tuple[object, ...] = ()
    """The rates of the trainings that crash."""

    def __init__(self, job: TrialJob) -> None:
        self._job = job
        self._reports: list[EpochReport] = []
        self._told = Decision.CONTINUE

    @classmethod
    def start(cls, job: TrialJob) -> "Child":
        return cls(job)

    def receive(self, _timeout_s: float) -> Message:
        if self._told is not Decision.CONTINUE:
            return Stopped(self._told)
        if self._job.params.get("lr0") in self.failing:
            return Failed(FailureKind.CRASHED, "as it was told to")
        done = len(self._reports)
        if done == self._job.epochs:
            return Completed(TrialResult.from_epochs(self._reports, "map50_95"))
        self._reports.append(made_up_epoch(self._job.params, seed=0, epoch=done + 1))
        return EpochDone(self._reports[-1])

    def answer(self, decision: Decision) -> None:
        self._told = decision

    def kill(self) -> None:
        pass


class ServerIsThere:
    """A fork server that has loaded all that it needs."""

    def ready(self, _trainer: str) -> bool:
        return True


class Idle(Exception):
    """A worker that waits, though nobody else is there."""


def train_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all workers of this process train so, and wait for nothing."""
    monkeypatch.setattr(attempt, "ChildProcess", Child)
    monkeypatch.setattr(forkserver, "warm_up", lambda _: None)
    monkeypatch.setattr(forkserver, "Readiness", ServerIsThere)
    monkeypatch.setattr(worker, "IDLE_S", (0.0, 0.0))
    monkeypatch.setattr(worker, "_LOOKS_PER_S", 1e9)


def serve(database: Database, monkeypatch: pytest.MonkeyPatch, *, slots: int | None = None) -> None:
    """Serve until nothing is left, or what is left cannot be served, or for so many slots.

    Raises:
        Idle: If the worker waits for ever.
        SweepError: If something was left that could not be served.
    """
    shutdown = Shutdown()
    served = Worker(database, device=Device(), drain=True, shutdown=shutdown)
    left = [60 if slots is None else slots]

    def claim() -> Any:
        left[0] -= 1
        if left[0] < 0 and slots is None:
            raise Idle
        if left[0] < 0:
            shutdown.count = 1
            return None
        return own()

    own = served._claim
    monkeypatch.setattr(served, "_claim", claim)
    served.run()
