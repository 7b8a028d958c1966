"""Trainings that take no time, behind the product's own `ChildProcess`: its pipe and its process.

Each goes on from the checkpoint of an earlier attempt where there is one of its own kind of device,
as trainings of the product do. Its numbers say on which kind of device they were made.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sweep import paths
from sweep.testing import made_up_epoch
from sweep.training.contract import (
    Decision,
    EpochReport,
    FailureKind,
    TrainingBroken,
    TrainingFailed,
    TrialJob,
    TrialResult,
)
from sweep.training.process import plain
from sweep.training.process.door import Door
from sweep.training.process.messages import Alive, Completed, EpochDone, Failed, Message, Stopped
from sweep.training.process.wire import LONGEST_MESSAGE, encode
from tests.simulation.tempers import FAILURES, STRANGE, Temper
from tests.simulation.world import Process, World

DEVICE_KINDS = {"cpu": 0.0, "cuda": 1.0}
DEVICE = "train/device"
"""The loss that says on which kind of device an epoch was made."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a training was told after an epoch."""

    slot: int
    attempt: int
    epoch: int
    decision: Decision
    held: bool
    """Whether its supervisor held the slot then."""


class Training:
    """One training: the other end of a pipe, and a process.

    Args:
        nursery: Where it grows up.
        job: What to train.
        supervisor: Who started it.
        temper: How it behaves.
    """

    def __init__(
        self, nursery: "Nursery", job: TrialJob, supervisor: Process, temper: Temper
    ) -> None:
        self._nursery = nursery
        self._world = nursery.world
        self.job = job
        self._supervisor = supervisor
        self._temper = temper
        self.killed = False
        self.alive = False
        """Whether a sign of life waits."""
        self.exitcode: int | None = None
        self._message: Message | None = None
        self._at = 0.0
        self.epoch = self._resumed()
        self._door = Door(job)
        if not nursery.disk_is_full():
            job.run_folder.mkdir(parents=True, exist_ok=True)  # for its log, first of all
        self._strikes_at = self.epoch + 1 + nursery.chance.randrange(max(1, job.epochs))
        self._go_on()

    def _resumed(self) -> int:
        for folder in self.job.earlier:
            try:
                found = json.loads((folder / paths.CHECKPOINT).read_text())
            except (FileNotFoundError, NotADirectoryError):
                continue
            if found["device"] == self.job.device.kind:
                return int(found["epoch"])
        return 0

    def _go_on(self) -> None:
        """Prepare the next message."""
        job, world = self.job, self._world
        self._at = world.now + self._nursery.epoch_s()
        if self._nursery.disk_is_full():
            self._message = Failed(FailureKind.CRASHED, "OSError: no space left on device")
        elif self.epoch >= job.epochs:
            self._message = Completed(self._result())
        elif self.epoch + 1 == self._strikes_at and self._temper is not Temper.GOOD:
            self._message = self._strike()
        else:
            self.epoch += 1
            self._message = EpochDone(self.report(self.epoch))

    def _strike(self) -> Message | None:
        if self._temper in FAILURES:
            return Failed(*FAILURES[self._temper])
        match self._temper:
            case Temper.HANGS:
                self._at = float("inf")
                return None
            case Temper.DIES:
                self.exitcode = -9
                return None
            case Temper.SHORT:
                return Completed(self._result())
        self.epoch += 1
        report = self.report(self.epoch)
        match self._temper:
            case Temper.NAN_EPOCH:
                report = replace(report, map50=float("nan"), map50_95=float("nan"))
            case Temper.NUMPY:
                report = replace(
                    report,
                    map50_95=np.float32(report.map50_95),  # type: ignore[arg-type]
                    precision=np.float32(report.precision),  # type: ignore[arg-type]
                )
            case Temper.AGAIN:
                self.epoch = max(self.epoch - 1, 0)
                self._strikes_at = 0
                if self.epoch:
                    report = self.report(self.epoch)
            case Temper.SKIPS if self.epoch < self.job.epochs:
                self.epoch += 1
                report = self.report(self.epoch)
        return EpochDone(report)

    def report(self, epoch: int) -> EpochReport:
        """Return what an epoch came to."""
        return epoch_of(self.job, epoch)

    def _result(self) -> TrialResult:
        reports = [self.report(epoch) for epoch in range(1, max(self.epoch, 1) + 1)]
        result = TrialResult.from_epochs(reports, self.job.objective)
        if self._temper is Temper.NAN_RESULT:
            return replace(result, map50=float("nan"), map50_95=float("nan"))
        return replace(result, effective={"lr0": 0.1})

    def ready(self) -> bool:
        """Whether there is something to receive, or the process has ended."""
        return self.exitcode is not None or self._at <= self._world.now

    def due(self) -> float:
        """Return when that will be."""
        return self._at

    # The end of the pipe that its supervisor holds.

    def poll(self) -> bool:
        """Whether a message waits."""
        return self.alive or (self.exitcode is None and self._message is not None and self.ready())

    def read(self) -> bytes:
        """Return what waits in the pipe; nothing after its end."""
        if self.alive:
            self.alive = False
            return encode(Alive())
        if self._message is None:
            return b""
        message, self._message = self._through_the_door(self._message), None
        self._world.note(f"hears {type(message).__name__} of slot {self.job.slot}")
        if isinstance(message, EpochDone):
            self._at = float("inf")
        return encode(message)

    def _through_the_door(self, message: Message) -> Message:
        """Return what a training process sends in place of what its trainer gave.

        Every other one that breaks the contract sends it as it is, as a process may in which
        other people's code runs.
        """
        unchecked = self.job.slot % 2 == 0 and self._temper in STRANGE - {Temper.NUMPY}
        found = message
        try:
            if isinstance(message, EpochDone) and not unchecked:
                found = EpochDone(self._door.report(message.report))
            elif isinstance(message, Completed) and not unchecked:
                found = Completed(self._door.result(message.result))
            elif isinstance(message, Failed):
                found = Failed(message.kind, plain.text(message.message, LONGEST_MESSAGE))
        except TrainingFailed as error:
            found = Failed(error.kind, str(error))
        except TrainingBroken as error:
            found = Failed(FailureKind.CRASHED, str(error))
        return found

    def send(self, decision: Decision) -> None:
        """Take a decision on the epoch that was reported, and go on."""
        if self.killed or self.exitcode is not None:
            raise BrokenPipeError
        self._nursery.told.append(
            Told(
                slot=self.job.slot,
                attempt=self.job.attempt,
                epoch=self.epoch,
                decision=decision,
                held=self._nursery.holds(self.job.slot, self.job.attempt),
            )
        )
        self._world.note(f"told {decision} after epoch {self.epoch} of slot {self.job.slot}")
        if decision is not Decision.PRUNE:
            self._save()
        if decision is Decision.CONTINUE:
            self._go_on()
        else:
            self._message, self._at = Stopped(decision), self._world.now

    def _save(self) -> None:
        if self._nursery.disk_is_full():
            return
        folder = self.job.run_folder
        if not folder.is_dir():  # deleted meanwhile
            return
        state = {"epoch": self.epoch, "device": self.job.device.kind}
        (folder / paths.CHECKPOINT).write_text(json.dumps(state))

    def close(self) -> None:
        """Close the pipe."""

    # The process.

    @property
    def pid(self) -> int:
        """Any number."""
        return 1

    @property
    def sentinel(self) -> "Training":
        """What is waited for."""
        return self

    def start(self) -> None:
        """It runs from the beginning."""

    def join(self, _timeout_s: float | None = None) -> None:
        """It takes no time to end."""
        if self.exitcode is None and (self.killed or self._message is None):
            self.exitcode = 0

    def kill(self) -> None:
        """End it."""
        self.killed = True
        if self.exitcode is None:
            self.exitcode = -9


def epoch_of(job: TrialJob, epoch: int) -> EpochReport:
    """Return what an epoch of a job comes to."""
    report = made_up_epoch({**job.settings, **job.params}, seed=job.seed, epoch=epoch)
    kind = DEVICE_KINDS[job.device.kind]
    return replace(
        report,
        map50=report.map50 * (1 + 0.001 * kind),
        map50_95=report.map50_95 * (1 + 0.001 * kind),
        losses={DEVICE: kind},
        seconds=1.0,
    )


class _Ends:
    """One end of a pipe that leads nowhere: the training is a `Training`."""

    def __init__(self) -> None:
        self.training: Training | None = None

    def close(self) -> None:
        """Close it."""

    def fileno(self) -> "Training | None":
        """What is read from, as by `os.read`."""
        return self.training

    def __getattr__(self, name: str) -> Any:
        return getattr(self.training, name)


class Nursery:
    """Starts the trainings of a world, and remembers what they were told.

    Args:
        world: The world.
        chance: How long epochs take, and when bad ones strike.
        temper: How the training of a job behaves.
        holds: Whether an attempt holds a slot now.
        disk_is_full: Whether nothing can be written.
        pace: How likely an epoch takes long.
    """

    def __init__(
        self,
        world: World,
        chance: random.Random,
        *,
        temper: Callable[[TrialJob], Temper],
        holds: Callable[[int, int], bool],
        disk_is_full: Callable[[], bool],
        pace: float,
    ) -> None:
        self._pace = pace
        self.world = world
        self.chance = chance
        self.holds = holds
        self.disk_is_full = disk_is_full
        self._temper = temper
        self.told: list[Told] = []
        self.jobs: list[TrialJob] = []

    def epoch_s(self) -> float:
        """Draw how long an epoch takes: mostly no time."""
        if self.chance.random() >= self._pace:
            return 0.1
        return self.chance.choice((8.0, 25.0, 120.0))

    @contextmanager
    def fork_context(self, _trainer: str) -> Iterator["Nursery"]:
        """Give what stands for multiprocessing's context."""
        yield self

    def Pipe(self) -> tuple[_Ends, _Ends]:  # noqa: N802 - as multiprocessing names it
        """Return both ends of a pipe."""
        ours, theirs = _Ends(), _Ends()
        theirs.__dict__["ours"] = ours
        return ours, theirs

    def Process(self, *, target: object, args: tuple[_Ends, TrialJob, int], name: str) -> Training:  # noqa: N802
        """Return a training of a job at the other end of a pipe."""
        theirs, job, _ = args
        supervisor = self.world.current
        assert supervisor is not None, (target, name)
        self.jobs.append(job)
        training = Training(self, job, supervisor, self._temper(job))
        theirs.__dict__["ours"].training = training
        return training

    def wait(self, ends: Sequence[Any], timeout_s: float) -> list[Any]:
        """Wait until a training has something to say, as multiprocessing's `wait` does."""
        pipe, training = ends
        world = self.world
        if not training.ready():
            world.wait_until(min(training.due(), world.now + timeout_s))
            training.alive = not training.ready() and training.due() < float("inf")
        return [
            end
            for end, is_ready in (
                (pipe, training.poll()),
                (training, training.exitcode is not None),
            )
            if is_ready
        ]
