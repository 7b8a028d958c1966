"""From a database URL to an engine that keeps our promises."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import Float

from storage.errors import DatabaseRefused
from storage.filesystems import network_file_system
from storage.outage import telling_outages

BUSY_TIMEOUT_S = 60
POOL: dict[str, Any] = {
    "pool_pre_ping": True,
    "pool_size": 1,
    "max_overflow": 4,
    "connect_args": {"connect_timeout": 10},
}
"""A worker has one connection while it has something to say, and none else (`Database.rest`)."""
_ALLOWED = "allowed: sqlite:///FILE, postgresql://USER:PASSWORD@HOST/DATABASE"


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


def connectable_engine(url: str, *, create: bool = True) -> Engine:
    """Return an engine for the database, whatever its tables are.

    Raises:
        DatabaseRefused: If the URL names no database that can serve, or `create` is False and
            there is none.
    """
    parsed = _parse(url)
    if not create and is_missing(url):
        raise DatabaseRefused(
            f"--storage: {parsed.database} does not exist; "
            "name the database of your sweeps (or set SWEEP_STORAGE), or submit one first"
        )
    if is_sqlite(url):
        engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_S})
        _govern_sqlite(engine)
        return engine
    try:
        return create_engine(driver_url(url), **POOL)
    except ModuleNotFoundError as error:
        raise DatabaseRefused(
            f"--storage: PostgreSQL needs a driver ({error}); pip install 'detsweep[postgresql]'"
        ) from error


def is_missing(url: str) -> bool:
    """Whether the URL names an SQLite file that is not there yet.

    Raises:
        DatabaseRefused: If it names no database that can serve.
    """
    parsed = _parse(url)
    return is_sqlite(url) and not Path(str(parsed.database)).exists()


def unopened(url: str, error: Exception) -> DatabaseRefused:
    """Return what to raise when the database cannot be opened."""
    cause = " ".join(str(getattr(error, "orig", error)).split())
    return DatabaseRefused(
        f"--storage: {make_url(url).render_as_string()} cannot be opened ({cause}); "
        "check that it is a database of this project and that you may write to it"
    )


def driver_url(url: str) -> str:
    """Return the URL with the driver we ship named; SQLAlchemy's own default has changed."""
    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed.render_as_string(hide_password=False)


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


def _govern_sqlite(engine: Engine) -> None:
    """Make an SQLite engine's connections and transactions keep our rules."""

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we begin transactions, not the driver
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT_S * 1000}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {mode}")


def is_sqlite(url: str) -> bool:
    """Whether the URL names an SQLite database."""
    return make_url(url).get_backend_name() == "sqlite"


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise DatabaseRefused(f"--storage: {url!r} is no database URL; {_ALLOWED}") from error
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise DatabaseRefused(
            f"--storage: {backend} cannot keep the queue's promises "
            f"(it was not proven to lock rows as the queue needs); {_ALLOWED}"
        )
    if backend == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise DatabaseRefused(
                "--storage: a database in memory cannot be shared by workers; "
                "name a file, e.g. sqlite:///sweep.db"
            )
        folder = Path(str(parsed.database)).resolve().parent
        if not folder.is_dir():
            raise DatabaseRefused(
                f"--storage: folder {folder} does not exist; make it or name another"
            )
        if (kind := network_file_system(folder)) is not None:
            raise DatabaseRefused(
                f"--storage: {folder} is on a network file system ({kind}), where SQLite's locks "
                "cannot be relied on; take a local folder, or PostgreSQL for several machines"
            )
    return parsed
