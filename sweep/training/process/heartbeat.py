"""Whether the training in this process moves on, or only its process lives.

A process whose data loader is deadlocked still answers. So a trainer may call `tick` at every
batch; from then on the process counts as alive only while ticks come. A trainer that never ticks
counts as alive while its process does.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class _Counter:
    """Counts the ticks of the one training of this process."""

    ticks = 0
    seen = 0
    """Ticks at the last call of `moved`."""
    untracked = 0
    """How many blocks of `untracked` are open."""


def tick() -> None:
    """Say that the training moved on; cheap enough for every batch."""
    _Counter.ticks += 1


@contextmanager
def untracked() -> Iterator[None]:
    """Count the process as alive in here without ticks: for work that cannot tick."""
    _Counter.untracked += 1
    try:
        yield
    finally:
        _Counter.untracked -= 1
        tick()


def moved() -> bool:
    """Return whether the training moved on since the last call, or does not say."""
    ticks = _Counter.ticks
    moved = ticks == 0 or _Counter.untracked > 0 or ticks != _Counter.seen
    _Counter.seen = ticks
    return moved
