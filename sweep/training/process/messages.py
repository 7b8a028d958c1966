"""What a training process tells its supervisor. The supervisor answers every `EpochDone`."""

from dataclasses import dataclass

from sweep.training.contract import Decision, EpochReport, FailureKind, TrialResult
from sweep.training.process.heartbeat import Pulse


@dataclass(frozen=True)
class Alive:
    """The process lives; sent at least every `child_main.ALIVE_EVERY_S`."""

    pulse: Pulse = Pulse.MOVED
    """What it can see of its training."""
    place: str = ""
    """Where the training is, unless it moved."""


@dataclass(frozen=True)
class EpochDone:
    """An epoch ended; the training waits for a `Decision`."""

    report: EpochReport


@dataclass(frozen=True)
class Completed:
    """The training reached its last epoch. Final: nothing follows."""

    result: TrialResult


@dataclass(frozen=True)
class Stopped:
    """The training ended because the supervisor decided so. Final: nothing follows."""

    decision: Decision


@dataclass(frozen=True)
class Failed:
    """The training ended without a result. Final: nothing follows."""

    kind: FailureKind
    message: str
    """One line for the user; `train.log` in the run folder has the whole story."""


@dataclass(frozen=True)
class Unable:
    """The training could not begin: its trainer is not here. Final: nothing follows."""

    message: str
    """One line for the user."""


Message = Alive | EpochDone | Completed | Stopped | Failed | Unable
