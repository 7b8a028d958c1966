"""A database that is away at an unlucky moment is waited for, whoever needs it."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from storage.database import Database
from storage.errors import DatabaseGone, DatabaseRefused
from storage.optuna import storage as optuna_storage
from storage.queue import sweeps
from storage.queue.queue import Queue
from sweep.api import patience, running
from sweep.api.database import open_database, open_once_there
from sweep.api.patience import patiently
from tests.contracts.test_idle_workers import Clock
from tests.submission import submit


def refusal() -> Exception:
    """Return what a connection that is refused raises."""
    error = sqlite3.OperationalError("unable to open database file")
    error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
    return OperationalError("SELECT 1", {}, error)


def wrapped() -> Exception:
    """Return what Optuna makes of it."""
    error = StorageInternalError("an exception is raised during the commit")
    error.__cause__ = refusal()
    return error


class Outage:
    """Raises what it is given, as often as told, in the place of a function."""

    def __init__(self, instead_of: Callable[..., Any], error: Exception, times: int) -> None:
        self._call = instead_of
        self._error = error
        self.left = times

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.left:
            self.left -= 1
            raise self._error
        return self._call(*args, **kwargs)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(patience, "time", clock)
    monkeypatch.setattr(optuna_storage, "time", clock)
    return clock


@pytest.mark.parametrize("error", [refusal(), wrapped(), PoolTimeout("no connection")], ids=type)
def test_optunas_storage_is_opened_when_the_database_is_there_again(
    engine: Engine,
    storage_url: str,
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
    error: Exception,
) -> None:
    tries = optuna_storage._OPENING_TRIES
    outage = Outage(optuna_storage.RDBStorage, error, tries)
    monkeypatch.setattr(optuna_storage, "RDBStorage", outage)
    database = Database(url=storage_url, engine=engine, queue=Queue(engine))
    with pytest.raises(DatabaseGone):  # which a worker waits out
        _ = database.studies
    assert not database.studies.exists("one/search")


def test_a_storage_that_optuna_refuses_is_not_waited_for(
    engine: Engine, storage_url: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    outage = Outage(optuna_storage.RDBStorage, RuntimeError("another version's"), 1)
    monkeypatch.setattr(optuna_storage, "RDBStorage", outage)
    with pytest.raises(DatabaseRefused, match="Optuna cannot use this database"):
        _ = Database(url=storage_url, engine=engine, queue=Queue(engine)).studies
    assert clock.seconds == 0


def test_a_command_waits_a_while_and_not_for_ever(clock: Clock) -> None:
    assert patiently(Outage(lambda: 7, DatabaseGone("away"), 30)) == 7
    assert clock.seconds == 30
    with pytest.raises(DatabaseGone):
        patiently(Outage(lambda: 7, DatabaseGone("away"), 1000))
    assert clock.seconds == 30 + patience.WAIT_S


def test_a_worker_that_a_command_starts_waits_for_the_database(
    engine: Engine, storage_url: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    open_now = Outage(Database.open, refused_open(refusal()), 5)
    monkeypatch.setattr(Database, "open", open_now)
    assert open_once_there(storage_url).url == storage_url
    assert (open_now.left, clock.seconds) == (0, 5)
    monkeypatch.setattr(Database, "open", Outage(Database.open, DatabaseRefused("not ours"), 1))
    with pytest.raises(DatabaseRefused, match="not ours"):
        open_once_there(storage_url)
    assert open_database(storage_url).url == storage_url


def refused_open(cause: Exception) -> DatabaseRefused:
    error = DatabaseRefused("--storage: cannot be opened")
    error.__cause__ = cause
    return error


def test_the_end_of_a_sweep_waits_for_the_database(
    engine: Engine,
    storage_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
) -> None:
    submit(engine)
    monkeypatch.chdir(tmp_path)
    gone = DatabaseGone("away")
    monkeypatch.setattr(running, "read_here", Outage(running.read_here, gone, 2))
    monkeypatch.setattr(running, "write_best", Outage(running.write_best, gone, 3))
    monkeypatch.setattr(sweeps, "get", Outage(sweeps.get, gone, 4))
    database = Database(url=storage_url, engine=engine, queue=Queue(engine))
    assert running.ended(database, "one").name == "one"
    assert running.worker_logs(database, "one").name == "workers"
    assert clock.seconds == 2 + 3 + 4
