"""Connections to PostgreSQL that wait for no answer without a limit. Imports the driver.

The server ends a statement that takes too long, a wait for a lock, and the session of a client that
was stopped amid a transaction, whose locks would hold up all others. But a server that is stopped
itself ends nothing, and neither does one that a network cut off. So the client has a limit, too.
"""

import os
import re
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any

import psycopg
from sqlalchemy import URL

from storage.deadlines import HURRIED_S, Deadlines, hurried

_IDLE_IN_TRANSACTION_S = 60
"""Our transactions take milliseconds; whoever is silent amid one for so long has been stopped."""
_GRACE_S = 5
"""How much later than the server the client gives up: the server's word says more."""
_STATEMENT_TIMEOUT = re.compile(r"\bstatement_timeout\s*=\s*'?(\d+)\s*(us|ms|s|min|h|d|)\b")
_UNIT_S = {"us": 1e-6, "ms": 1e-3, "": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86400}
_DEFAULTS = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
_VARIABLES = {"connect_timeout": "PGCONNECT_TIMEOUT", "options": "PGOPTIONS"}
"""Where libpq looks for what a URL does not say."""


class LimitedConnection(psycopg.Connection[Any]):
    """A connection that breaks off when the server is silent for too long."""

    silence_s: float | None = None
    """How long the server may be silent; None for ever, as a user wants it."""

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
        """Wait for the server, as psycopg does, but not without a limit.

        Raises:
            OperationalError: If the server was silent for too long; the connection is closed.
        """
        return super().wait(self._limited(gen), *args, **options)

    def _limited(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Pass on what `gen` and psycopg, which looks ten times a second, say to each other."""
        heard = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                now = time.monotonic()
                if ready:
                    heard = now
                elif (limit := self._limit_s) is not None and now - heard > limit:
                    self.close()
                    raise psycopg.OperationalError(f"the server was silent for {limit:g} s")
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value

    @property
    def _limit_s(self) -> float | None:
        if not hurried():
            return self.silence_s
        return HURRIED_S if self.silence_s is None else min(HURRIED_S, self.silence_s)


def connector(url: URL, deadlines: Deadlines) -> Callable[[], LimitedConnection]:
    """Return what makes a connection.

    Args:
        url: Of the database; what it says of time limits holds.
        deadlines: For what neither it nor libpq's environment variables say.
    """
    words = connection_arguments(url, deadlines)
    silence_s = _silence_s(words["options"])

    def connect() -> LimitedConnection:
        connection = LimitedConnection.connect(**words)
        connection.silence_s = silence_s
        return connection

    return connect


def connection_arguments(url: URL, deadlines: Deadlines) -> dict[str, Any]:
    """Return what libpq is told, by its own names."""
    _, found = url.get_dialect()().create_connect_args(url)
    return {
        **_DEFAULTS,
        "connect_timeout": os.environ.get(_VARIABLES["connect_timeout"], deadlines.connect_s),
        "tcp_user_timeout": deadlines.statement_s * 1000,
        **found,
        "options": f"{_options(deadlines)} {_said(found)}".strip(),
    }


def _options(deadlines: Deadlines) -> str:
    limits_s = {
        "statement_timeout": deadlines.statement_s,
        "lock_timeout": deadlines.statement_s / 2,
        "idle_in_transaction_session_timeout": _IDLE_IN_TRANSACTION_S,
    }
    return " ".join(f"-c {name}={round(1000 * limit)}" for name, limit in limits_s.items())


def _said(found: Mapping[str, Any]) -> str:
    """Return the server's settings that a user chose; they stand last, and so they win."""
    chosen = found.get("options", os.environ.get(_VARIABLES["options"], ""))
    return chosen if isinstance(chosen, str) else " ".join(chosen)


def _silence_s(options: str) -> float | None:
    number, unit = _STATEMENT_TIMEOUT.findall(options)[-1]
    limit_s = int(number) * _UNIT_S[unit]
    return limit_s + _GRACE_S if limit_s else None
