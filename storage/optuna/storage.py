"""Optuna's own tables in the same database."""

import time
from typing import Any

from optuna.storages import RDBStorage
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from storage.engine import BUSY_TIMEOUT_S, is_read_only, postgresql_options
from storage.errors import DatabaseGone, DatabaseRefused, DatabaseUnusable
from storage.optuna.private import use_engine
from storage.outage import telling_outages
from storage.urls import driver_url, is_sqlite

_OPENING_TRIES = 10
_OPENING_PAUSE_S = 0.2


def open_storage(url: str, engine: Engine) -> RDBStorage:
    """Open Optuna's own tables, making them where they are missing.

    Args:
        url: The database.
        engine: Ours for the same database. Optuna uses its connections: a worker needs one then.
            For a file that may only be read, one to look (`storage.database.look`).

    Raises:
        DatabaseGone: If the database does not answer now.
        DatabaseRefused: If it cannot be opened or holds another Optuna's schema.
    """
    read_only = is_read_only(url)
    if read_only:
        options: dict[str, Any] = {"pool": engine.pool}
    elif is_sqlite(url):
        options = {"connect_args": {"timeout": BUSY_TIMEOUT_S}}
    else:
        options = postgresql_options(url)
    storage = _opened(driver_url(url), options)
    use_engine(storage, engine, read_only=read_only)
    return storage


def _opened(url: str, engine_options: dict[str, Any]) -> RDBStorage:
    # Two processes that open an empty database at once both make the tables, and one is refused.
    # Optuna makes only those that are missing, so trying again ends with all of them.
    for remaining in reversed(range(_OPENING_TRIES)):
        try:
            with telling_outages():
                return RDBStorage(url, engine_kwargs=engine_options)
        except RuntimeError as error:
            raise _refused(error) from error
        except DatabaseGone:
            if remaining == 0:
                raise
        except (DatabaseUnusable, DBAPIError) as error:
            if remaining == 0:
                raise _refused(error) from error
        time.sleep(_OPENING_PAUSE_S)
    raise AssertionError("unreachable")


def _refused(error: Exception) -> DatabaseRefused:
    cause = " ".join(str(error).split())
    return DatabaseRefused(f"--storage: Optuna cannot use this database ({cause}); name another")
