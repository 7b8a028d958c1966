"""How a person or a scheduler tells this process to leave."""

import math
import signal
import time
from collections.abc import Callable
from types import FrameType

from storage.deadlines import hurry_when

GRACE_S = 20.0
"""Schedulers kill with SIGKILL 30 s after SIGTERM, unless told otherwise: SLURM and Kubernetes."""
NAP_S = 0.2
"""Who waits looks so often whether to leave."""


class Shutdown:
    """Whether to leave, and how soon.

    Told by Ctrl-C, the epoch at hand still ends, however long it takes; told by SIGTERM, it ends if
    it does so in time. Told twice, nothing does.

    SIGINT stays ignored where it was: a worker that another process started leaves Ctrl-C to it.

    Args:
        grace_s: How long after SIGTERM the epoch at hand may take.
        clock: Monotonic seconds.
    """

    def __init__(
        self, grace_s: float = GRACE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.grace_s = grace_s
        self.count = 0
        """Signals so far."""
        self.by_hand = False
        """Whether one of them was Ctrl-C."""
        self._requests = 0
        """How often whoever started this process asked it to leave."""
        self._clock = clock
        self._until = math.inf

    def listen(self) -> None:
        """Take over SIGINT and SIGTERM; from the main thread."""
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        hurry_when(lambda: self.at_once)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self.by_hand |= number == signal.SIGINT
        if number == signal.SIGTERM:
            self._limit(self.grace_s)

    def ask(self, within_s: float | None) -> None:
        """Tell this process to leave, for whoever started it; from any thread.

        Schedulers send a signal to all processes of a job, so this is not counted on top of those.

        Args:
            within_s: How long the epoch at hand may take; None for as long as it needs.
        """
        self._requests += 1
        if within_s is not None:
            self._limit(within_s)

    def _limit(self, within_s: float) -> None:
        self._until = min(self._until, self._clock() + within_s)

    @property
    def requested(self) -> bool:
        """Whether to leave when the epoch at hand has ended."""
        return self.count > 0 or self._requests > 0

    @property
    def at_once(self) -> bool:
        """Whether to leave now and drop the epoch at hand."""
        return self.count > 1 or self._requests > 1 or self._clock() >= self._until

    @property
    def left_s(self) -> float | None:
        """How long the epoch at hand may still take; None for as long as it needs."""
        return None if self._until == math.inf else max(0.0, self._until - self._clock())
