"""Waiting for a database that is away: nothing is lost by it, so there is no hurry to give up."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from storage.errors import DatabaseGone
from sweep.worker.shutdown import NAP_S, Shutdown

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0

Found = TypeVar("Found")
log = logging.getLogger(__name__)


class Retry:
    """Repeats calls to the database until it answers.

    Args:
        shutdown: Whether this process was told to leave; when it must at once, it waits no more.
        sleep: Waits for some seconds.
    """

    def __init__(self, shutdown: Shutdown, sleep: Callable[[float], None] = time.sleep) -> None:
        self._shutdown = shutdown
        self._sleep = sleep
        self._away = False

    def __call__(self, call: Callable[[], Found]) -> Found:
        """Return what `call` returns.

        Raises:
            DatabaseGone: If the database is still away when the process must leave at once.
        """
        pause = _FIRST_PAUSE_S
        while True:
            try:
                found = call()
            except DatabaseGone as gone:
                self.note(gone)
                self._wait(pause)
                if self._shutdown.at_once:
                    raise
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            else:
                self.note(None)
                return found

    def _wait(self, left_s: float) -> None:
        while left_s > 0 and not self._shutdown.at_once:
            self._sleep(min(left_s, NAP_S))
            left_s -= NAP_S

    def note(self, gone: DatabaseGone | None) -> None:
        """Log when an outage begins (`gone` is what it looks like) or ends (None)."""
        if gone is not None and not self._away:
            log.warning("%s; waiting for it", gone)
        elif gone is None and self._away:
            log.info("the database answers again")
        self._away = gone is not None
