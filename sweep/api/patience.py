"""Waiting for a database that is away for a while, where nothing is lost by it."""

import time
from collections.abc import Callable
from typing import TypeVar

from storage.errors import DatabaseGone

WAIT_S = 120.0
"""How long a command waits for a database that is away, once its sweep is under way."""
_PAUSE_S = 1.0

Found = TypeVar("Found")


def patiently(call: Callable[[], Found]) -> Found:
    """Return what `call` returns; while the database is away, call again.

    For what only reads, or may be done twice.

    Raises:
        DatabaseGone: If it is still away after `WAIT_S`.
    """
    until = time.monotonic() + WAIT_S
    while True:
        try:
            return call()
        except DatabaseGone:
            if time.monotonic() >= until:
                raise
        time.sleep(_PAUSE_S)
