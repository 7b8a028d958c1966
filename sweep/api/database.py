"""Which database the sweeps are in, and what it may refuse."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from storage.errors import (
    CommandRefused,
    DatabaseGone,
    DatabaseRefused,
    StorageError,
    SweepNotFound,
)
from sweep import paths
from sweep.api.patience import patiently
from sweep.errors import InputError, SweepError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from storage.database import Database


def storage_url(storage: str | None) -> str:
    """Return the URL: the one given, else what SWEEP_STORAGE says, else `sqlite:///sweep.db`."""
    if storage is not None:
        return storage
    return os.environ.get(paths.STORAGE_VARIABLE) or paths.DEFAULT_STORAGE


def open_database(storage: str | None) -> "Database":
    """Open the database that the user named, to change what is in it.

    Raises:
        DatabaseRefused: If it cannot serve, or holds no sweeps.
    """
    from storage.database import Database  # commands that open none do without SQLAlchemy

    return Database.open(storage_url(storage), create=False)


def open_once_there(storage: str | None) -> "Database":
    """Open a database that was there a moment ago; one that is away is waited for.

    Raises:
        DatabaseRefused: If it cannot serve, or holds no sweeps.
        DatabaseGone: If it is away for long.
    """
    from storage.outage import away

    def open_now() -> "Database":
        try:
            return open_database(storage)
        except DatabaseRefused as refused:
            if away(refused):
                raise DatabaseGone(str(refused)) from refused
            raise

    return patiently(open_now)


def look(storage: str | None) -> "Engine":
    """Open the database that the user named, to read it only.

    Raises:
        DatabaseRefused: If it cannot serve, or holds no sweeps.
    """
    from storage import database

    return database.look(storage_url(storage))


@contextmanager
def errors_of_sweep() -> Iterator[None]:
    """Raise the database's errors as those that callers of this package know.

    Raises:
        InputError: If the database, the sweep or the command was named wrongly.
        SweepError: If the database cannot do it now.
    """
    try:
        yield
    except (DatabaseRefused, SweepNotFound, CommandRefused) as error:
        raise InputError(str(error)) from error
    except StorageError as error:
        raise SweepError(str(error)) from error
