"""The product's own engines on one SQLite database in memory, whose server is virtual.

SQLite's transactions that write exclude each other from their beginning, and those that read see
the moment of theirs. So nothing is lost by letting processes take turns between transactions only;
what strikes amid one, strikes: it is rolled back, or it holds the others up.
"""

import sqlite3
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, StaticPool, create_engine
from sqlalchemy.exc import OperationalError

from storage.engine import BUSY_TIMEOUT_S
from tests.simulation.faults import Broken, Faults
from tests.simulation.world import GreenletExit, Process, World

_JULIAN_EPOCH = 2440587.5
_DAY_S = 86400.0


def away(code: int = sqlite3.SQLITE_IOERR) -> sqlite3.OperationalError:
    """Return what SQLite's driver raises when the file does not answer."""
    error = sqlite3.OperationalError("database is locked" if code == sqlite3.SQLITE_BUSY else "I/O")
    error.sqlite_errorcode = code
    return error


class Server:
    """One database in memory, given out by transactions; used again for world after world."""

    def __init__(self) -> None:
        self.raw = sqlite3.connect(":memory:", cached_statements=1000, isolation_level=None)
        self.raw.create_function("julianday", 1, self._julianday)
        self._holder: Process | None = None
        self._waiting: list[Process] = []
        self._wrote = False
        self._said: list[str] = []
        """The statements of the transaction that is open, if it writes."""
        self.undoing: list[Callable[[], None]] = []
        """Undoes what it did elsewhere than in the database, the latest last."""
        self._world: World | None = None
        self._faults: Faults | None = None

    def begin_world(self, image: bytes, world: World, faults: Faults) -> None:
        """Hold what an image holds, in another world."""
        self._world, self._faults = world, faults
        self._holder, self._wrote = None, False
        self._waiting = []
        self.raw.deserialize(image)

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
                raise away(sqlite3.SQLITE_BUSY)
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
            raise away()
        self._end(said, committed=True)
        self._moment("committed")
        return found

    def _end(self, said: list[str], *, committed: bool) -> None:
        if said and self._faults is not None:
            try:
                self._faults.done(said, committed=committed)
            except Broken:
                raise away() from None

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

    def current(self) -> Process | None:
        """Return who is at work, if anybody is."""
        return None if self._world is None else self._world.current

    def _moment(self, where: str) -> None:
        if self._faults is None:
            return
        try:
            self._faults.moment(where)
        except Broken:
            raise away() from None

    def _world_now(self) -> World:
        if self._world is None:
            raise RuntimeError("the server has no world")
        return self._world

    def _of(self, process: Process) -> World:
        if process.gone:
            raise GreenletExit
        return self._world_now()


class _Cursor(sqlite3.Cursor):
    seat: "Seat"

    def execute(self, sql: str, parameters: Any = ()) -> "_Cursor":
        self.seat.statement(sql)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> "_Cursor":
        self.seat.statement(sql)
        return super().executemany(sql, parameters)


class _Connection:
    """What SQLAlchemy takes for a connection of its own."""

    def __init__(self, seat: "Seat") -> None:
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


class _Opened(Connection):
    """A connection that begins as its seat wants it.

    Args:
        seat: Whose connection it is.
        args: Those of SQLAlchemy's connections.
    """

    def __init__(self, seat: "Seat", *args: Any, **kwargs: Any) -> None:
        self._seat = seat
        super().__init__(*args, **kwargs)

    def _begin_impl(self, _transaction: Any) -> None:
        self._seat.begin(self)


class Seat:
    """An engine of one process at a time: engines are dear, and worlds many.

    Args:
        server: The database.
        folder: Where the file would be; the product looks for others beside it.
    """

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.process: Process | None = None
        file = folder / "sweep.db"
        file.touch()
        self.url = f"sqlite:///{file}"
        self.engine = create_engine(
            self.url,
            creator=lambda: _Connection(self),
            poolclass=StaticPool,
        )
        self.engine.connect().close()  # the first time, SQLAlchemy asks what it speaks to
        # An engine with listeners asks them at every statement, which takes a fifth of a schedule.
        opened = partial(_Opened, self)
        self.engine._connection_cls = opened  # type: ignore[assignment]

        @cache
        def with_options(**options: Any) -> Engine:
            """Return the engine for transactions that write, which is dear to make."""
            engine = Engine.execution_options(self.engine, **options)
            engine._connection_cls = opened  # type: ignore[assignment]
            return engine

        self.engine.execution_options = with_options  # type: ignore[method-assign,assignment]

    def begin(self, connection: Connection) -> None:
        """Begin as `storage.engine` lets SQLite begin, without a statement of SQLAlchemy's."""
        mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
        try:
            self.server.begin(self.of(), writes=mode == "IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise OperationalError("BEGIN", None, error) from error

    def statement(self, sql: str) -> None:
        """Come to a statement of who sits here."""
        if self.process is not None:
            self.server.statement(self.of(), sql)

    def of(self) -> Process:
        """Return the process that sits here, or the thread of it that is at work."""
        if self.process is None:
            raise RuntimeError("nobody sits here")
        current = self.server.current()
        return current if current is not None and current.main is self.process else self.process
