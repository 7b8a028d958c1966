"""Runs the command `sweep` as a user does: its own process, its own folder."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from sweep.cli.app import execute

ORPHANS_GONE_WITHIN_S = 5.0
"""The promise: no training outlives its worker for longer."""
_POLL_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str


def run_here(*arguments: str | Path) -> Finished:
    """Run the command in this process and folder: for what no process is needed to see."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    err.reconfigure(errors="backslashreplace")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = execute([str(argument) for argument in arguments])
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    return Finished(code=code, out=texts[0], err=texts[1])


@dataclass(frozen=True)
class Command:
    """The command `sweep`, run in one folder with the default storage."""

    folder: Path

    def __call__(self, *arguments: str | Path) -> Finished:
        """Run to the end."""
        done = subprocess.run(
            [sys.executable, "-m", "sweep.cli", *map(str, arguments)],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        return Finished(code=done.returncode, out=done.stdout, err=done.stderr)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "sweep.cli", *map(str, arguments)],
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A background job of a shell ignores SIGINT, and what it starts inherits that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        )

    def status(self, name: str) -> dict[str, Any]:
        """Read `sweep status NAME --json`."""
        done = self("status", name, "--json")
        assert done.code == 0, done.err
        found: dict[str, Any] = json.loads(done.out)
        return found

    def write(self, file: str, content: Mapping[str, Any]) -> Path:
        """Write a YAML file into the folder."""
        path = self.folder / file
        path.write_text(yaml.safe_dump(dict(content), sort_keys=False))
        return path

    @staticmethod
    def _environment() -> dict[str, str]:
        # Wide, so that no line of a table is folded.
        return {**os.environ, "COLUMNS": "200"}


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until `condition` holds; fails when the process ends before."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(_POLL_S)


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kill a process and all it started with SIGKILL, and wait until it is gone."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def living(session: int) -> list[int]:
    """List the processes of a session, whoever their parents are by now."""
    found = []
    for process in psutil.process_iter(["status"]):
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def orphans(session: int) -> list[int]:
    """List what is left of a session whose leader has ended, at the latest when it must be gone."""
    deadline = time.monotonic() + ORPHANS_GONE_WITHIN_S
    while (left := living(session)) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return left
