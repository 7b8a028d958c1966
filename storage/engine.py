"""From a database URL to an engine that keeps our promises."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import Float

from storage import urls
from storage.deadlines import HURRIED_S, LOOKING, WORKING, Deadlines, hurried
from storage.errors import DatabaseGone, DatabaseRefused, DatabaseUnusable
from storage.outage import telling_outages
from storage.readable import as_text, from_json
from storage.sqlite import connect_to_look, is_busy, writable
from storage.tables import VERSION_TABLE

BUSY_TIMEOUT_S = WORKING.statement_s
"""How long a connection to an SQLite file waits for a lock."""
_LOOK_S = 0.25
"""How often who waits for the right to write to an SQLite file looks whether to leave."""
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


def connectable_engine(url: str, deadlines: Deadlines = WORKING) -> Engine:
    """Return an engine for the database, whatever its tables are; SQLite makes a missing file.

    Args:
        url: Of the database.
        deadlines: What counts as an outage.

    Raises:
        DatabaseRefused: If the URL names no database that can serve.
    """
    parsed = urls.parse(url)
    if urls.is_sqlite(url):
        engine = create_engine(
            parsed,
            connect_args={"timeout": deadlines.statement_s},
            json_deserializer=from_json,
        )
        pragmas = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")
        _govern_sqlite(engine, *pragmas, busy_s=deadlines.statement_s)
        return engine
    return create_engine(urls.driver_url(url), **postgresql_options(url, deadlines))


def postgresql_options(url: str, deadlines: Deadlines = WORKING) -> dict[str, Any]:
    """Return what `create_engine` needs to be told of a PostgreSQL database.

    A worker has one connection while it has something to say, and none else (`Database.rest`).

    Raises:
        DatabaseRefused: If there is no driver.
    """
    try:
        from storage.postgresql import connector
    except ImportError as error:
        raise urls.no_driver(error) from error
    return {
        "pool_pre_ping": True,
        "pool_size": 1,
        "max_overflow": 4,
        "creator": connector(make_url(urls.driver_url(url)), deadlines),
    }


def looking_engine(url: str) -> Engine:
    """Return an engine that only reads, whatever the tables are; an SQLite file stays as it is.

    Raises:
        DatabaseRefused: If the URL names no database that can serve, or there is none.
    """
    parsed = urls.parse(url)
    if not urls.is_sqlite(url):
        return connectable_engine(url, LOOKING)
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


def upsert(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insert of a database's dialect, for its `on_conflict_…` clauses (alike in both)."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def _govern_sqlite(engine: Engine, *pragmas: str, busy_s: float = BUSY_TIMEOUT_S) -> None:
    """Make an SQLite engine's connections and transactions keep our rules."""

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we begin transactions, not the driver
        connection.text_factory = as_text
        for pragma in (_busy(busy_s), *pragmas):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
        if mode == "DEFERRED":
            connection.exec_driver_sql("BEGIN DEFERRED")
        else:
            _begin_to_write(connection, mode, busy_s)


def _begin_to_write(connection: Connection, mode: str, busy_s: float) -> None:
    """Wait for the right to write, as SQLite does, but heed signals meanwhile."""
    began = time.monotonic()
    driver: Any = connection.connection.dbapi_connection
    driver.execute(f"PRAGMA {_busy(_LOOK_S)}")
    try:
        while True:
            try:
                connection.exec_driver_sql(f"BEGIN {mode}")
            except OperationalError as error:
                limit_s = min(HURRIED_S, busy_s) if hurried() else busy_s
                if not is_busy(error.orig) or time.monotonic() - began > limit_s:
                    raise
            else:
                return
    finally:
        driver.execute(f"PRAGMA {_busy(busy_s)}")


def _busy(limit_s: float) -> str:
    return f"busy_timeout = {round(1000 * limit_s)}"
