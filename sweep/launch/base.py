"""The contract of every launcher."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sweep.training.contract import Device


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


class Launcher(Protocol):
    """Workers that are started together somewhere.

    Made without arguments; then one call of `start`, and any number of the others after it.
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

    def stop(self) -> None:
        """Ask every worker to leave; asked again, they drop the epoch at hand."""
        ...
