"""No answer of the database is waited for without a limit."""

import contextlib
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, make_url, text

from storage import deadlines, engine
from storage.deadlines import Deadlines
from storage.engine import connectable_engine, reading, writing
from storage.errors import DatabaseGone
from storage.postgresql import connection_arguments
from tests.postgres import Postgres

SOON = Deadlines(connect_s=2, statement_s=1)
URL = "postgresql+psycopg://me@host/sweeps"


@pytest.fixture
def leaving() -> Iterator[None]:
    """Have this process told to leave."""
    deadlines.hurry_when(lambda: True)
    yield
    deadlines.hurry_when(lambda: False)


@contextlib.contextmanager
def written_by_another(file: Path) -> Iterator[None]:
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


def write(made: Engine) -> None:
    with writing(made) as connection:
        connection.execute(text("SELECT 1"))


def test_who_waits_to_write_gives_up(tmp_path: Path) -> None:
    file = tmp_path / "sweep.db"
    made = connectable_engine(f"sqlite:///{file}", Deadlines(connect_s=1, statement_s=0))
    write(made)
    with written_by_another(file), pytest.raises(DatabaseGone, match="locked"):
        write(made)
    write(made)


@pytest.mark.usefixtures("leaving")
def test_who_must_leave_does_not_wait_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "HURRIED_S", 0.0)
    file = tmp_path / "sweep.db"
    made = connectable_engine(f"sqlite:///{file}")
    write(made)
    with written_by_another(file), pytest.raises(DatabaseGone, match="locked"):
        write(made)
    write(made)


def limits(url: str) -> dict[str, object]:
    found = connection_arguments(make_url(url), Deadlines(connect_s=5, statement_s=20))
    return {name: value for name, value in found.items() if name not in ("host", "user", "dbname")}


def test_every_connection_to_postgresql_has_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGOPTIONS", raising=False)
    monkeypatch.delenv("PGCONNECT_TIMEOUT", raising=False)
    assert limits(URL) == {
        "connect_timeout": 5,
        "tcp_user_timeout": 20_000,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "options": "-c statement_timeout=20000 -c lock_timeout=10000 "
        "-c idle_in_transaction_session_timeout=60000",
    }


@pytest.mark.parametrize("by", ["url", "variable"])
def test_what_a_user_says_of_them_holds(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = URL
    if by == "url":
        url += "?connect_timeout=77&options=-c%20statement_timeout%3D300s"
    else:
        monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=300s")
        monkeypatch.setenv("PGCONNECT_TIMEOUT", "77")
    found = limits(url)
    assert int(str(found["connect_timeout"])) == 77
    assert str(found["options"]).endswith(" -c statement_timeout=300s"), "the server takes the last"


@pytest.mark.parametrize(
    ("said", "silence_s"),
    [("", 25), ("?options=-c%20statement_timeout%3D5min", 305)]
    + [(f"?options=-c%20statement_timeout%3D{never}", None) for never in ("0", "0s")],
)
def test_the_client_gives_up_soon_after_the_server(said: str, silence_s: float | None) -> None:
    from storage.postgresql import _silence_s

    arguments = connection_arguments(make_url(URL + said), Deadlines(connect_s=5, statement_s=20))
    assert _silence_s(str(arguments["options"])) == silence_s


@pytest.fixture
def stopped(postgres: Postgres) -> Iterator[Connection]:
    """A connection to a server that was stopped amid a transaction."""
    name = f"stopped_{os.getpid()}"
    made = connectable_engine(postgres.create_database(name), SOON)
    connection = made.connect()
    pid = int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
    os.kill(pid, signal.SIGSTOP)
    yield connection
    os.kill(pid, signal.SIGCONT)
    made.dispose()
    postgres.drop_database(name)


@pytest.mark.slow
def test_a_server_that_is_stopped_is_an_outage(
    stopped: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopped.connection.dbapi_connection, "silence_s", 0.5)
    check_away(stopped, "the server was silent for 0.5 s")


@pytest.mark.slow
@pytest.mark.usefixtures("leaving")
def test_who_must_leave_does_not_wait_for_a_stopped_server(
    stopped: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.postgresql.HURRIED_S", 0.2)
    check_away(stopped, "the server was silent for 0.2 s")


def check_away(connection: Connection, words: str) -> None:
    with pytest.raises(DatabaseGone, match=words), engine.telling_outages():
        connection.execute(text("SELECT 1"))
    assert connection.invalidated
    connection.close()
    with reading(connection.engine) as other:
        assert other.execute(text("SELECT 1")).scalar_one() == 1


@pytest.mark.slow
@pytest.mark.parametrize("statement", ["SELECT pg_sleep(60)", "LOCK TABLE busy"])
def test_a_statement_that_takes_too_long_is_an_outage(postgres: Postgres, statement: str) -> None:
    name = f"late_{os.getpid()}"
    made = connectable_engine(postgres.create_database(name), SOON)
    with writing(made) as connection:
        connection.execute(text("CREATE TABLE busy (x int)"))
    with made.begin() as holder:
        holder.execute(text("LOCK TABLE busy"))
        with pytest.raises(DatabaseGone, match=r"due to .* timeout"), writing(made) as connection:
            connection.execute(text(statement))
    made.dispose()
    postgres.drop_database(name)
