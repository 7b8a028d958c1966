"""One process's access to the whole database: our tables and Optuna's."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from storage import schema
from storage.engine import connectable_engine, opening
from storage.queue.queue import Queue
from storage.urls import is_sqlite

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
        """Open a database; with `create`, make it where it is missing.

        Raises:
            DatabaseRefused: If the URL names no database that can serve, or it cannot be opened,
                or its tables are another version's.
        """
        engine = connectable_engine(url, create=create)
        with opening(url):
            schema.require(engine)
        return cls(url=url, engine=engine, queue=Queue(engine))

    def rest(self) -> None:
        """Hold no connection until the next call; before every wait that may be long.

        An SQLite file has no connections to run out of, and closing the last one costs writes.
        """
        if is_sqlite(self.url):
            return
        self.engine.dispose()

    @cached_property
    def studies(self) -> "Studies":
        """The Optuna side, opened (and Optuna imported) at the first use."""
        from storage.optuna.storage import open_storage
        from storage.optuna.studies import Studies

        return Studies(open_storage(self.url, self.engine))
