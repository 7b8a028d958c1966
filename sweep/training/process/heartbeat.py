"""Whether the training in this process moves on, or only its process lives.

A process whose data loader is deadlocked still answers. So a trainer may call `tick` at every
batch; from then on the process counts as alive only while ticks come. Where no tick can be
expected (before the first one, in a trainer that never ticks, in `untracked` work) nobody sees
whether it moves: it counts as alive, but not for ever.
"""

import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum, auto
from pathlib import Path

_FRAMES = 4
"""Of the stack, the innermost: enough to tell a lock from a disk."""


class Pulse(StrEnum):
    """What is known of a training."""

    MOVED = auto()
    """It moved since the last look, or waits for its supervisor."""
    UNSEEN = auto()
    """It lives; whether it moves cannot be seen."""
    STILL = auto()
    """It has not moved."""


class _Counter:
    """Counts the ticks of the one training of this process."""

    ticks = 0
    seen = 0
    """Ticks at the last call of `pulse`."""
    untracked = 0
    """How many blocks of `untracked` are open."""
    waiting = 0
    """How many blocks of `waiting` are open."""


def tick() -> None:
    """Say that the training moved on; cheap enough for every batch."""
    _Counter.ticks += 1


@contextmanager
def untracked() -> Iterator[None]:
    """Expect no ticks in here: for work that cannot tick."""
    _Counter.untracked += 1
    try:
        yield
    finally:
        _Counter.untracked -= 1
        _resume()


@contextmanager
def waiting() -> Iterator[None]:
    """Count the process as moving in here: it is the supervisor's turn."""
    _Counter.waiting += 1
    try:
        yield
    finally:
        _Counter.waiting -= 1
        _resume()


def _resume() -> None:
    if _Counter.ticks:  # a trainer that never ticks is not expected to from now on
        tick()


def pulse() -> Pulse:
    """Return whether the training moved on since the last call."""
    ticks, seen = _Counter.ticks, _Counter.seen
    _Counter.seen = ticks
    if _Counter.waiting:
        return Pulse.MOVED
    if ticks == 0 or _Counter.untracked:
        return Pulse.UNSEEN
    return Pulse.STILL if ticks == seen else Pulse.MOVED


def place() -> str:
    """Return where the main thread is, from the innermost call outwards: `wait (a.py:3) < …`."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    calls = reversed(traceback.extract_stack(frame)[-_FRAMES:])
    return " < ".join(f"{call.name} ({Path(call.filename).name}:{call.lineno})" for call in calls)
