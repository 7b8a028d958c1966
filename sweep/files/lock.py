"""Locks between processes."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from filelock import Timeout, UnixFileLock

from sweep.errors import SweepError

HOURS_S = 24 * 3600.0
"""For a lock whose holder fetches files or prepares a dataset: a limit, but no hurry."""
_TELL_AFTER_S = 10.0
_STOPPED_S = 60.0
"""A holder that is stopped for so long is not waited for, whatever the limit."""
_LOCKS = Path("/proc/locks")

log = logging.getLogger(__name__)


class Held(SweepError):
    """Another process holds a lock for too long: do without it, or show the line to the user."""


@contextmanager
def lock(path: Path, *, within_s: float) -> Iterator[None]:
    """Hold a lock in this block.

    It ends with the process that holds it, however that dies: the kernel keeps it (flock), and
    filelock's substitute, a file that a killed process would leave behind, is ruled out.

    Args:
        path: Of the lock's file, which is made with its folder, left empty and never removed.
        within_s: How long to wait for who holds it.

    Raises:
        Held: If it was not to be had in that time, or its holder is stopped (SIGSTOP).
        OSError: If the file cannot be made.
    """
    held = UnixFileLock(path, fallback_to_soft=False, poll_interval=0.01)
    _acquire(held, path, within_s)
    try:
        yield
    finally:
        held.release()


def _acquire(held: UnixFileLock, path: Path, within_s: float) -> None:
    began = time.monotonic()
    told, stopped_since = False, None
    while True:
        waited_s = time.monotonic() - began
        try:
            held.acquire(timeout=max(0.0, min(within_s - waited_s, _TELL_AFTER_S)))
        except Timeout:
            pass
        else:
            return
        now = time.monotonic()
        holder = _holder(path)
        stopped_since = (stopped_since or now) if _stopped(holder) else None
        if stopped_since is not None and now - stopped_since >= min(_STOPPED_S, within_s):
            raise Held(
                f"{path}: held by process {holder}, which is stopped; "
                f"let it go on (kill -CONT {holder}) or end it"
            )
        who = "another process" if holder is None else f"process {holder}"
        if now - began >= within_s:
            raise Held(f"{path}: held by {who} for {within_s:g} s; see what it does, or end it")
        if not told:
            log.warning("%s: waiting for %s, which holds it", path, who)
            told = True


def _holder(path: Path) -> int | None:
    """Return the process that holds a lock; None where that is not known, as on another host."""
    try:
        file, lines = path.stat(), _LOCKS.read_text().splitlines()
    except OSError:  # another system than Linux
        return None
    place = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    for line in lines:
        words = line.split()  # 1: FLOCK ADVISORY WRITE 4321 08:01:131094 0 EOF; see proc(5)
        if words[1:2] == ["FLOCK"] and words[5:6] == [place]:
            return int(words[4])
    return None


def _stopped(pid: int | None) -> bool:
    try:
        return pid is not None and psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except (psutil.Error, ValueError):
        return False
