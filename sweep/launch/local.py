"""Workers on this machine: one process a device share."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from sweep import paths
from sweep.errors import InputError
from sweep.launch.base import WorkerOptions
from sweep.launch.launched import leave_request
from sweep.training.contract import Device
from sweep.training.devices import parse_devices


class LocalLauncher:
    """Worker processes of this machine; see `sweep.launch.base.Launcher`.

    They ignore Ctrl-C, which the terminal sends to the whole process group: whoever started them
    tells them what it means (`stop`), over a pipe. When it closes they end at once.
    """

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, devices: Sequence[Device], options: WorkerOptions) -> None:
        """Start one process for each device share; call it from the main thread."""
        options.log_folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "sweep.cli", "worker", *options.names]
        command += ["--log-level", options.log_level, "--grace-s", str(options.grace_s)]
        command += ["--launched-by", str(os.getpid()), *(["--drain"] if options.drain else [])]
        command += [] if options.log_file is None else ["--log-file", str(options.log_file)]
        # Everybody on this machine may list the arguments of processes; a URL may hold a password.
        environment = {**os.environ, paths.STORAGE_VARIABLE: options.storage}
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited by the workers
        try:
            for number, device in enumerate(devices):
                with (options.log_folder / f"worker-{number}.log").open("ab") as log:
                    self._processes.append(
                        subprocess.Popen(
                            [*command, "--share", share_option(device)],
                            stdin=subprocess.PIPE,
                            stdout=log,
                            stderr=subprocess.STDOUT,
                            env=environment,
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

    def stop(self, within_s: float | None = None) -> None:
        """Ask every worker to leave; asked again, they drop the epoch at hand."""
        for process in self._processes:
            if process.poll() is None and process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):  # it is about to end
                    process.stdin.write(leave_request(within_s))
                    process.stdin.flush()


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
    match option.split(":"):
        case ["cpu" | "cuda" as kind, index, fraction]:
            return Device(kind=kind, index=int(index), memory_fraction=float(fraction))
    raise ValueError(f"no device share: {option}")
