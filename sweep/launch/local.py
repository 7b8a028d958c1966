"""Workers on this machine: one process a device share."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sweep.errors import InputError
from sweep.training.contract import Device
from sweep.training.devices import parse_devices


class LocalWorkers:
    """Worker processes of this machine, started together.

    They ignore Ctrl-C, which the terminal sends to the whole process group: whoever started them
    tells them what it means (`stop`).

    Args:
        devices: One worker each.
        storage: URL of the database.
        names: Sweeps to serve; all active ones when empty.
        drain: Whether they leave when nothing is left.
        log_folder: Where each writes its log, `worker-<n>.log`.
        log_level: What they log: everything from this level on.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        *,
        storage: str,
        names: Sequence[str],
        drain: bool,
        log_folder: Path,
        log_level: str = "info",
    ) -> None:
        log_folder.mkdir(parents=True, exist_ok=True)
        self._processes: list[subprocess.Popen[bytes]] = []
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited by the workers
        try:
            for number, device in enumerate(devices):
                command = [sys.executable, "-m", "sweep.cli", "worker", *names]
                command += ["--storage", storage, "--share", share_option(device)]
                command += ["--log-level", log_level]
                command += ["--drain"] if drain else []
                with (log_folder / f"worker-{number}.log").open("ab") as log:
                    self._processes.append(
                        subprocess.Popen(
                            command,
                            stdin=subprocess.DEVNULL,
                            stdout=log,
                            stderr=subprocess.STDOUT,
                        )
                    )
        finally:
            signal.signal(signal.SIGINT, handler)

    @property
    def running(self) -> bool:
        """Whether any worker still runs."""
        return any(process.poll() is None for process in self._processes)

    @property
    def failed(self) -> bool:
        """Whether any worker ended otherwise than by leaving."""
        return any(process.poll() not in (None, 0) for process in self._processes)

    def wait(self, timeout_s: float) -> None:
        """Wait until all workers have left, or for `timeout_s`."""
        until = time.monotonic() + timeout_s
        with contextlib.suppress(subprocess.TimeoutExpired):
            for process in self._processes:
                process.wait(max(0.0, until - time.monotonic()))

    def stop(self) -> None:
        """Ask every worker to leave; asked again, they drop the epoch at hand."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)


def choose_devices(text: str | None, *, per_gpu: int, workers: int | None = None) -> list[Device]:
    """Return one device share a worker.

    Args:
        text: As `sweep.training.devices.parse_devices` reads it; None for all there is.
        per_gpu: Trials that share one GPU.
        workers: How many; None for one a share. A CPU takes any number, a GPU has `per_gpu`.

    Raises:
        InputError: If a device is not there, or there are fewer shares than workers.
    """
    shares = parse_devices(text, per_gpu=per_gpu)
    if workers is None:
        return shares
    if workers > len(shares) and shares[0].kind == "cuda":
        raise InputError(
            f"--workers {workers}: the GPUs have {len(shares)} shares; raise --per-gpu"
        )
    return [shares[number % len(shares)] for number in range(workers)]


def share_option(device: Device) -> str:
    """Write a device share for the command line: `cuda:0:0.5`."""
    return f"{device.kind}:{device.index}:{device.memory_fraction}"


def read_share(option: str) -> Device:
    """Read back what `share_option` wrote.

    Raises:
        ValueError: If it was written otherwise.
    """
    kind, index, fraction = option.split(":")
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"no device share: {option}")
    return Device(
        kind="cpu" if kind == "cpu" else "cuda",
        index=int(index),
        memory_fraction=float(fraction),
    )
