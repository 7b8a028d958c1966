"""How long this process waits for an answer of its database: never without a limit."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Deadlines:
    """What is over after this counts as an outage: the same call is tried again later."""

    connect_s: int
    """For a connection."""
    statement_s: int
    """For a statement, and with SQLite for the right to write."""


WORKING = Deadlines(connect_s=10, statement_s=60)
"""Most statements take milliseconds, to read a large sweep seconds."""
LOOKING = Deadlines(connect_s=10, statement_s=300)
"""Who only looks holds nobody up."""
RENEWING = Deadlines(connect_s=10, statement_s=10)
"""A renewal has a third of a lease; it is better tried again than waited for."""
UPGRADING = Deadlines(connect_s=10, statement_s=3600)
"""A new version may have to write every row of a table."""
HURRIED_S = 3
"""For an answer once this process must leave: a slot may still be given back to a slow database."""


class _Hurry:
    """Whether this process must leave; signals are its own, so there is one."""

    asked: Callable[[], bool] = staticmethod(lambda: False)


def hurry_when(asked: Callable[[], bool]) -> None:
    """Say how to find out that this process must leave and waits `HURRIED_S` at most from then on.

    Args:
        asked: Called some times a second by whoever waits.
    """
    _Hurry.asked = staticmethod(asked)


def hurried() -> bool:
    """Whether this process must leave."""
    return _Hurry.asked()
