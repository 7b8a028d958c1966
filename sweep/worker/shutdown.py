"""How a person or a scheduler tells this process to leave."""

import signal
from types import FrameType


class Shutdown:
    """Counts the signals to leave: after one the epoch at hand still ends, after two nothing does.

    SIGINT stays ignored where it was: a worker that `sweep run` started leaves Ctrl-C to it.
    """

    def __init__(self) -> None:
        self.count = 0
        """Signals so far."""
        self.by_hand = False
        """Whether one of them was Ctrl-C."""

    def listen(self) -> None:
        """Take over SIGINT and SIGTERM; from the main thread."""
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self.by_hand |= number == signal.SIGINT

    @property
    def requested(self) -> bool:
        """Whether to leave when the epoch at hand has ended."""
        return self.count > 0

    @property
    def at_once(self) -> bool:
        """Whether to leave now and drop the epoch at hand."""
        return self.count > 1
