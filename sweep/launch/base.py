"""The contract of every launcher."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sweep.training.contract import Device
from sweep.worker.shutdown import GRACE_S


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """What all workers that are started together are told; `sweep worker` has the same options."""

    storage: str
    """URL of the database."""
    names: Sequence[str]
    """Sweeps to serve; all active ones when empty."""
    drain: bool
    """Whether they leave when nothing is left."""
    log_folder: Path
    """Where each writes its log, `worker-<n>.log`."""
    log_level: str = "info"
    """What they log: everything from this level on."""
    log_file: Path | None = None
    """A file that all of them append to as well."""
    grace_s: float = GRACE_S
    """How long after SIGTERM the epoch at hand of each may take."""


class Leave(KeyboardInterrupt):
    """Whoever waits for workers was told to leave, and so are they.

    Args:
        within_s: How long their epochs at hand may take; None for as long as they need, as after
            Ctrl-C.
    """

    def __init__(self, within_s: float | None) -> None:
        super().__init__()
        self.within_s = within_s


class Launcher(Protocol):
    """Workers that are started together somewhere.

    Made without arguments; then one call of `start`, and any number of the others after it. They
    end with the process that started them, however it ends.
    """

    def start(self, devices: Sequence[Device], options: WorkerOptions) -> None:
        """Start one worker for each device share, without waiting for them.

        Raises:
            SweepError: If the place refuses.
        """
        ...

    @property
    def running(self) -> bool:
        """Whether any worker still runs, or is still to be started."""
        ...

    @property
    def failed(self) -> bool:
        """Whether any worker ended otherwise than by leaving."""
        ...

    def wait(self, timeout_s: float) -> None:
        """Wait until all workers have left, or for `timeout_s`."""
        ...

    def stop(self, within_s: float | None = None) -> None:
        """Ask every worker to leave; asked again, they drop the epoch at hand.

        Args:
            within_s: How long the epoch at hand may take; None for as long as it needs.
        """
        ...
