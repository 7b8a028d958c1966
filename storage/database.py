"""One process's access to the whole database: our tables and Optuna's."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from storage import schema
from storage.deadlines import RENEWING, UPGRADING
from storage.engine import connectable_engine, looking_engine, opening
from storage.queue.queue import Queue
from storage.urls import is_missing, is_sqlite

if TYPE_CHECKING:
    from storage.optuna.studies import Studies


@dataclass(frozen=True, kw_only=True)
class Database:
    """The queue and the studies of one database."""

    url: str
    engine: Engine
    queue: Queue

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> "Database":
        """Open a database to work with; with `create`, make it and its tables where missing.

        Raises:
            DatabaseRefused: If the URL names no database that can serve, or it cannot be opened,
                or is another program's, or its tables are missing or another version's.
        """
        with opening(url):
            make = create and _lacks_tables(url)
            if not make:
                look(url).dispose()
            engine = connectable_engine(url)
            if make:
                schema.upgrade(engine)
        return cls(url=url, engine=engine, queue=Queue(engine))

    def rest(self) -> None:
        """Hold no connection until the next call; before every wait that may be long.

        An SQLite file has no connections to run out of, and closing the last one costs writes.
        """
        if is_sqlite(self.url):
            return
        self.engine.dispose()

    def renewing(self) -> "Database":
        """Return the same database on connections of its own, which wait less for an answer."""
        engine = connectable_engine(self.url, RENEWING)
        return Database(url=self.url, engine=engine, queue=Queue(engine))

    @cached_property
    def studies(self) -> "Studies":
        """The Optuna side, opened (and Optuna imported) at the first use."""
        from storage.optuna.storage import open_storage
        from storage.optuna.studies import Studies

        return Studies(open_storage(self.url, self.engine))


def look(url: str) -> Engine:
    """Return an engine for a database of sweeps that is only read, and stays as it is.

    Raises:
        DatabaseRefused: If it is not there, cannot be opened, or its tables are missing or another
            version's.
    """
    with opening(url):
        engine = looking_engine(url)
        try:
            schema.require(engine)
        except BaseException:
            engine.dispose()
            raise
    return engine


def look_at_schema(url: str) -> schema.Schema:
    """Return how a database's tables stand to this program; it stays as it is.

    Raises:
        DatabaseRefused: If it is not there, cannot be opened, or is another program's.
    """
    with opening(url):
        engine = looking_engine(url)
        try:
            return schema.refuse_others(engine)
        finally:
            engine.dispose()


def upgrade(url: str) -> None:
    """Bring a database's tables to this program's version; make it where it is missing.

    Raises:
        DatabaseRefused: If it cannot be opened, is another program's, or its tables are newer.
    """
    with opening(url):
        _lacks_tables(url)
        schema.upgrade(connectable_engine(url, UPGRADING))


def _lacks_tables(url: str) -> bool:
    return is_missing(url) or look_at_schema(url).found is None
