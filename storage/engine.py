"""From a database URL to an engine that keeps our promises."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import Float

from storage import urls
from storage.errors import DatabaseGone, DatabaseRefused, DatabaseUnusable
from storage.outage import telling_outages
from storage.readable import as_text, from_json
from storage.sqlite import connect_to_look, writable
from storage.tables import VERSION_TABLE

BUSY_TIMEOUT_S = 60
POOL: dict[str, Any] = {
    "pool_pre_ping": True,
    "pool_size": 1,
    "max_overflow": 4,
    "connect_args": {"connect_timeout": 10},
}
"""A worker has one connection while it has something to say, and none else (`Database.rest`)."""
_MENDS = {
    True: "check that it is a database of this project and that you may write to it",
    False: "check that the server is there and has this database, the user and the password, and "
    "that the user may make tables in it",
}
"""What to check where a database cannot be opened, by whether it is SQLite."""


class now_s(GenericFunction[float]):  # noqa: N801 - an SQL function is named like one
    """The database's clock: seconds since 1970-01-01 UTC, with fractions."""

    type = Float()
    inherit_cache = True


@compiles(now_s, "sqlite")
def _now_sqlite(_element: now_s, _compiler: SQLCompiler, **_: Any) -> str:
    # SQLite before 3.42 knows no unixepoch('subsec').
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now_s, "postgresql")
def _now_postgresql(_element: now_s, _compiler: SQLCompiler, **_: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


def connectable_engine(url: str) -> Engine:
    """Return an engine for the database, whatever its tables are; SQLite makes a missing file.

    Raises:
        DatabaseRefused: If the URL names no database that can serve.
    """
    parsed = urls.parse(url)
    if urls.is_sqlite(url):
        engine = create_engine(
            parsed, connect_args={"timeout": BUSY_TIMEOUT_S}, json_deserializer=from_json
        )
        _govern_sqlite(engine, "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")
        return engine
    try:
        return create_engine(urls.driver_url(url), **POOL)
    except ImportError as error:
        raise urls.no_driver(error) from error


def looking_engine(url: str) -> Engine:
    """Return an engine that only reads, whatever the tables are; an SQLite file stays as it is.

    Raises:
        DatabaseRefused: If the URL names no database that can serve, or there is none.
    """
    parsed = urls.parse(url)
    if not urls.is_sqlite(url):
        return connectable_engine(url)
    file = Path(str(parsed.database))
    if not file.exists():
        raise DatabaseRefused(
            f"--storage: {file} does not exist; "
            "name the database of your sweeps (or set SWEEP_STORAGE), or submit one first"
        )
    engine = create_engine(
        parsed,
        creator=lambda: connect_to_look(file, own_table=VERSION_TABLE, timeout_s=BUSY_TIMEOUT_S),
        json_deserializer=from_json,
    )
    _govern_sqlite(engine)
    return engine


def is_read_only(url: str) -> bool:
    """Whether the URL names an SQLite file that this process may not write to."""
    return urls.is_sqlite(url) and not writable(Path(str(urls.parse(url).database)))


@contextmanager
def opening(url: str) -> Iterator[None]:
    """Say of which database it was that it could not be opened, and what to check.

    Raises:
        DatabaseRefused: If it could not.
    """
    try:
        yield
    except (DBAPIError, DatabaseGone, DatabaseUnusable) as error:
        wrapped = not isinstance(error, DBAPIError) and error.__cause__ is not None
        found = error.__cause__ if wrapped else error
        cause = " ".join(str(getattr(found, "orig", found)).split())
        raise DatabaseRefused(
            f"--storage: {urls.shown(url)} cannot be opened ({cause}); "
            f"{_MENDS[urls.is_sqlite(url)]}"
        ) from error


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that will write; on SQLite it holds the write lock from its start.

    A deferred SQLite transaction that reads and then writes fails at once when another process
    wrote in between, whatever the busy timeout.
    """
    with (
        telling_outages(),
        engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection,
    ):
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that only reads, from one snapshot."""
    with telling_outages(), engine.begin() as connection:
        yield connection


def upsert(bind: Engine | Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insert of the database's dialect, for its `on_conflict_…` clauses (alike in both)."""
    return postgresql.insert(table) if bind.dialect.name == "postgresql" else sqlite.insert(table)


def _govern_sqlite(engine: Engine, *pragmas: str) -> None:
    """Make an SQLite engine's connections and transactions keep our rules."""

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we begin transactions, not the driver
        connection.text_factory = as_text
        for pragma in (f"busy_timeout = {BUSY_TIMEOUT_S * 1000}", *pragmas):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {mode}")
