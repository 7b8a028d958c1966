"""Telling a database that is away for a while from one that cannot serve, and from our mistakes."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError

from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from storage.errors import DatabaseGone, DatabaseUnusable

_SQLITE_AWAY = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
)
_SQLITE_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_DAMAGED = "it is damaged: restore a copy, or save what is left with sqlite3's .recover"


@contextmanager
def telling_outages() -> Iterator[None]:
    """Raise `DatabaseGone` where the database did not answer, `DatabaseUnusable` where it said no.

    It says no where it is damaged, lacks our tables or does not let us write. Rows that do not fit
    and other errors pass as they are. Optuna wraps errors of the database into its own, so causes
    are looked at as well.
    """
    try:
        yield
    except Exception as error:
        if away(error):
            raise gone(error) from error
        if isinstance(error, UnicodeDecodeError | JSONDecodeError):
            raise DatabaseUnusable(
                f"--storage: the database holds what nobody wrote into it ({_first_line(error)}); "
                f"{_DAMAGED}"
            ) from error
        if refusal := _refusal(error):
            raise DatabaseUnusable(
                f"--storage: the database cannot be used ({_first_line(error)}); {refusal}"
            ) from error
        raise


def gone(error: BaseException) -> DatabaseGone:
    """Return what is raised instead of an error that says that the database is away."""
    return DatabaseGone(f"the database does not answer ({_first_line(error)})")


def away(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that the database could not be reached."""
    while error is not None:
        if isinstance(error, PoolTimeout) or (isinstance(error, DBAPIError) and _away(error)):
            return True
        error = error.__cause__
    return False


def _refusal(error: BaseException | None) -> str | None:
    """Return what to do about a database that said no; None for errors of other kinds."""
    while error is not None:
        if isinstance(error, DatabaseError) and not isinstance(error, IntegrityError | DataError):
            if _sqlite_code(error) in _SQLITE_DAMAGED:
                return _DAMAGED
            return "check its tables and that you may write to it, or name another"
        error = error.__cause__
    return None


def _away(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        return _sqlite_code(error) in _SQLITE_AWAY
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def _sqlite_code(error: DBAPIError) -> int | None:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _first_line(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
