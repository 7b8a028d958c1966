"""Which database URLs are taken, what is said of the others, and that no password is shown."""

import sqlite3
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from storage import urls
from storage.database import Database
from storage.errors import DatabaseRefused, DatabaseUnusable
from storage.queue import sweeps
from storage.snapshot.reader import read_sweep
from tests.postgres import Postgres
from tests.submission import submit

SECRET = "s3cretw0rd"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///sweep.db", "sqlite:///sweep.db"),
        ("sqlite:///a@b.db", "sqlite:///a@b.db"),
        (f"postgresql://me:{SECRET}@host:5432/db", "postgresql://me:***@host:5432/db"),
        (f"postgresql://me:a:{SECRET}@host/db", "postgresql://me:***@host/db"),
        (f"postgresql://me:a#{SECRET}@host/db", "postgresql://me:***@host/db"),
        (f"postgresql://me:a/{SECRET}@host/db", "postgresql://me:***@host/db"),
        (f"postgresql://me:%40{SECRET}@host/db", "postgresql://me:***@host/db"),
        (f"postgresql://me@host/db?password={SECRET}", "postgresql://me@host/db"),
        ("postgresql+psycopg://host/db?sslmode=require", "postgresql+psycopg://host/db"),
    ],
)
def test_what_can_serve_is_taken_and_shown_without_its_password(url: str, shown: str) -> None:
    urls.parse(url)
    assert urls.shown(url) == shown


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"postgresql://me:a@{SECRET}@host/db", "write %40 for @"),
        (f"postgresql://me:a@b/{SECRET}@host/db", "write %40 for @"),
        (f"postgresql://me:a@b?{SECRET}@host/db", "write %40 for @"),
        (f"postgresql://me:a@b:{SECRET}@host/db", "write %40 for @"),
        (f"postgresql://me:{SECRET}/db", "the port of this postgresql URL is no number"),
        (f"postgresql://me:{SECRET}@host:port/db", "is no number"),
        ("postgresql://host:99999/db", "allowed: 1 to 65535"),
        ("postgresql://host:0/db", "allowed: 1 to 65535"),
        (f"postgresql:/me:{SECRET}@host/db", "this is no database URL; allowed: sqlite:///FILE"),
        (f"me:{SECRET}@host", "this is no database URL"),
        ("sweep.db", "'sweep.db' is no database URL"),
        (f"postgres://me:{SECRET}@host/db", "did you mean postgresql://?"),
        ("sqlite3:///sweep.db", "did you mean sqlite://?"),
        (f"mysql://me:{SECRET}@host/db", "mysql cannot keep the queue's promises"),
        (f"postgresql+psycopg2://me:{SECRET}@host/db", "not supported; write postgresql://"),
        ("postgresql+asyncpg://host/db", "not supported; write postgresql://"),
        ("postgresql://host/db?sslmod=require", "did you mean 'sslmode'?"),
        ("sqlite:///sweep.db?mode=ro", "takes no arguments, found 'mode'"),
        ("sqlite://sweep.db", "three slashes before a relative path"),
        ("sqlite://", "in memory"),
        ("sqlite:///below", "below is a folder"),
        ("sqlite:///\udcff.db", "is not UTF-8"),
        ("sqlite:///loop", "loop cannot be looked at"),
        ("sqlite:///" + "x" * 300, "cannot be looked at (File name too long)"),
        ("sqlite:///no/such/sweep.db", "does not exist; make it"),
    ],
)
def test_what_cannot_serve_is_one_line_without_the_password(
    folder: Path, url: str, says: str
) -> None:
    (folder / "below").mkdir()
    (folder / "loop").symlink_to("loop")
    with pytest.raises(DatabaseRefused) as refused:
        urls.parse(url)
    assert says in str(refused.value)
    assert SECRET not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_server_that_cannot_be_reached_is_named_without_the_password() -> None:
    with pytest.raises(DatabaseRefused) as refused:
        Database.open(f"postgresql://me:{SECRET}@127.0.0.1:1/sweeps")
    assert "postgresql://me:***@127.0.0.1:1/sweeps cannot be opened" in str(refused.value)
    assert "check that the server is there" in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("user", "database", "says"),
    [
        ("postgres", "none", 'database "none" does not exist'),
        (f"stranger:{SECRET}", "mine", 'role "stranger" does not exist'),
        (f"weak:{SECRET}", "mine", "permission denied for schema public"),
    ],
)
def test_what_a_server_refuses_is_one_line(
    user: str, database: str, says: str, postgres: Postgres
) -> None:
    with psycopg.connect(postgres.address("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS mine WITH (FORCE)")
        connection.execute("DROP ROLE IF EXISTS weak")
        connection.execute("CREATE ROLE weak LOGIN")
    port = make_url(postgres.create_database("mine")).port
    with pytest.raises(DatabaseRefused) as refused:
        Database.open(f"postgresql://{user}@127.0.0.1:{port}/{database}")
    assert says in str(refused.value)
    assert "the user may make tables in it" in str(refused.value)
    assert SECRET not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_database_that_is_damaged_in_part_is_told() -> None:
    database = Database.open("sqlite:///sweep.db")
    submit(database.engine, budget=200)
    database.engine.dispose()
    file = Path("sweep.db")
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'slots'"
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    content = bytearray(file.read_bytes())
    content[(page - 1) * size : page * size] = b"\xff" * size
    file.write_bytes(content)
    engine = Database.open("sqlite:///sweep.db").engine
    assert sweeps.names(engine) == ["one"]
    with pytest.raises(DatabaseUnusable, match="it is damaged: restore a copy"):
        read_sweep(engine, "one")


def test_a_database_without_one_of_our_tables_is_told() -> None:
    database = Database.open("sqlite:///sweep.db")
    submit(database.engine)
    with sqlite3.connect("sweep.db") as connection:
        connection.execute("DROP TABLE epochs")
    connection.close()
    with pytest.raises(DatabaseUnusable, match=r"no such table: epochs\); check its tables"):
        read_sweep(database.engine, "one")
