"""SQLite in memory, whose server is virtual.

SQLite's transactions that write exclude each other from their beginning, and those that read see
the moment of theirs. So nothing is lost by letting processes take turns between transactions only;
what strikes amid one, strikes: it is rolled back, or it holds the others up.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optuna.storages import RDBStorage
from sqlalchemy import Connection, Engine, StaticPool, create_engine

from storage.engine import BUSY_TIMEOUT_S
from tests.simulation.databases import Seat, Server
from tests.simulation.images import Images
from tests.simulation.world import Process

_JULIAN_EPOCH = 2440587.5
_DAY_S = 86400.0


def _away(code: int = sqlite3.SQLITE_IOERR) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database is locked" if code == sqlite3.SQLITE_BUSY else "I/O")
    error.sqlite_errorcode = code
    return error


class SqliteServer(Server):
    """One database in memory.

    Args:
        folder: Where the file would be; the product looks for others beside it.
        runs: Where the trials of the sweeps write.
    """

    optuna_in_memory = True
    turns = 1

    def __init__(self, folder: Path, runs: Path) -> None:
        super().__init__()
        self.raw = sqlite3.connect(":memory:", cached_statements=1000, isolation_level=None)
        self.raw.create_function("julianday", 1, self._julianday)
        self._images = Images(folder, runs)
        self._file = folder / "sweep.db"
        self._file.touch()
        self._holder: Process | None = None
        self._waiting: list[Process] = []
        self._wrote = False
        self._said: list[str] = []
        """The statements of the transaction that is open, if it writes."""
        self.undoing: list[Callable[[], None]] = []
        """Undoes what it did elsewhere than in the database, the latest last."""

    def _restore(self, shape: int) -> None:
        self._holder, self._wrote = None, False
        self._waiting = []
        self.raw.deserialize(self._images.of(shape))

    def seat(self, *, renewing: bool = False) -> "SqliteSeat":
        """Return a new engine, of nobody yet."""
        return SqliteSeat(self, f"sqlite:///{self._file}")

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read what is there, past the product."""
        return self.raw.execute(query, values).fetchall()

    def records(self, query: str) -> list[dict[str, Any]]:
        """Read rows by the names of their columns."""
        cursor = self.raw.execute(query)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def optuna_on(self, engine: Engine) -> RDBStorage:
        """Return Optuna's own storage on an engine of this database."""
        return self._images.optuna_on(engine)

    def read_optuna(self) -> RDBStorage:
        """Return Optuna's own storage on a copy of this database."""
        return self._images.optuna_in(self.raw.serialize())

    def away(self) -> sqlite3.OperationalError:
        """Return what SQLite's driver raises when the file does not answer."""
        return _away()

    def close(self) -> None:
        """Forget what is in memory."""
        self.raw.close()

    def _julianday(self, _moment: str) -> float:
        wall_s = 0.0 if self._world is None else self._world.wall_s
        return wall_s / _DAY_S + _JULIAN_EPOCH

    def begin(self, process: Process, *, writes: bool) -> None:
        """Begin a transaction, when the one before has ended."""
        world = self._of(process)
        world.turn()
        self._moment("begin")
        until = world.now + BUSY_TIMEOUT_S
        while self._holder is not None:
            if world.now >= until:
                raise _away(sqlite3.SQLITE_BUSY)
            self._waiting.append(process)
            world.wait_until(until)
        self._holder, self._wrote, self._said = process, writes, []
        self.raw.execute("BEGIN")

    def statement(self, process: Process, what: str) -> None:
        """Come to a statement amid a transaction."""
        self._of(process)
        if self._wrote:
            self._said.append(what)
        self._moment("statement")

    def commit(self, process: Process, last: Callable[[], Any] = lambda: None) -> Any:
        """End a transaction for good; perhaps nobody hears of it.

        Args:
            process: Whose transaction it is.
            last: Done when nothing can break the transaction any more; its result is returned.
        """
        self._of(process)
        if self._holder is not process:
            return None
        wrote, said = self._wrote, self._said
        self._moment("commit")
        self._end(said, committed=False)
        found = last()
        self.raw.execute("COMMIT")
        self._free()
        if wrote and self._faults is not None and self._faults.unheard():
            raise _away()
        self._end(said, committed=True)
        self._moment("committed")
        return found

    def rollback(self, process: Process) -> None:
        """End a transaction as if it had not been."""
        if self._holder is process:
            self.raw.execute("ROLLBACK")
            for undo in reversed(self.undoing):
                undo()
            self._free()

    def _free(self) -> None:
        self._holder = None
        self.undoing.clear()
        waiting, self._waiting = self._waiting, []
        for other in waiting:
            self._world_now().wake(other)


class _Cursor(sqlite3.Cursor):
    seat: "SqliteSeat"

    def execute(self, sql: str, parameters: Any = ()) -> "_Cursor":
        self.seat.statement(sql)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> "_Cursor":
        self.seat.statement(sql)
        return super().executemany(sql, parameters)


class _Connection:
    """What SQLAlchemy takes for a connection of its own."""

    def __init__(self, seat: "SqliteSeat") -> None:
        self._seat = seat
        self.isolation_level: str | None = None

    def cursor(self) -> _Cursor:
        cursor = self._seat.server.raw.cursor(_Cursor)
        cursor.seat = self._seat
        return cursor

    def create_function(self, *_: Any, **__: Any) -> None:
        """Take SQLAlchemy's functions, of which we use none."""

    def commit(self) -> None:
        if self._seat.process is not None:
            self._seat.server.commit(self._seat.of())

    def rollback(self) -> None:
        if self._seat.process is not None:
            self._seat.server.rollback(self._seat.of())

    def close(self) -> None:
        """There is one connection for all."""


class SqliteSeat(Seat):
    """An engine on the one connection."""

    def __init__(self, server: SqliteServer, url: str) -> None:
        self.server = server
        self.process = None  # SQLAlchemy asks already
        engine = create_engine(url, creator=lambda: _Connection(self), poolclass=StaticPool)
        super().__init__(server, url, engine)

    def begin_on(self, _connection: Connection, *, writes: bool) -> None:
        """Begin a transaction."""
        self.server.begin(self.of(), writes=writes)

    def statement(self, sql: str) -> None:
        """Come to a statement of who sits here."""
        if self.process is not None:
            self.server.statement(self.of(), sql)
