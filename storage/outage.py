"""Telling a database that is away for a while from a mistake of ours."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from storage.errors import DatabaseGone

_SQLITE_AWAY = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
)


@contextmanager
def telling_outages() -> Iterator[None]:
    """Raise `DatabaseGone` where the database did not answer; other errors pass as they are.

    Optuna wraps errors of the database into its own, so causes are looked at as well.
    """
    try:
        yield
    except Exception as error:
        if away(error):
            raise DatabaseGone(f"the database does not answer ({_first_line(error)})") from error
        raise


def away(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that the database could not be reached."""
    while error is not None:
        if isinstance(error, PoolTimeout) or (isinstance(error, DBAPIError) and _away(error)):
            return True
        error = error.__cause__
    return False


def _away(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        code = getattr(error.orig, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in _SQLITE_AWAY
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def _first_line(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
