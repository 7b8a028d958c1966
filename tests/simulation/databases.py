"""What a simulated database server is to the rest of the simulator, whichever it is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from tests.simulation.faults import Broken, Faults
from tests.simulation.world import GreenletExit, Process, World


class Server(ABC):
    """One database, given out by transactions; used again for world after world."""

    optuna_in_memory: bool
    """Whether Optuna's trials may be in memory: where nobody sees half a transaction of another."""
    turns: int
    """How many turns a transaction takes, about."""

    def __init__(self) -> None:
        self._world: World | None = None
        self._faults: Faults | None = None

    def begin_world(self, shape: int, world: World, faults: Faults) -> None:
        """Hold the sweeps of a shape, in another world."""
        self._world, self._faults = world, faults
        self._restore(shape)

    @abstractmethod
    def _restore(self, shape: int) -> None:
        """Hold the sweeps of a shape, and nothing else."""

    @abstractmethod
    def seat(self, *, renewing: bool = False) -> "Seat":
        """Return a new engine, of nobody yet; one for renewals waits less for an answer."""

    @abstractmethod
    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read what is committed, past the product; `?` in the query stands for a value."""

    @abstractmethod
    def records(self, query: str) -> list[dict[str, Any]]:
        """Read rows by the names of their columns; JSON as text."""

    @abstractmethod
    def optuna_on(self, engine: Engine) -> RDBStorage:
        """Return Optuna's own storage, not opened again, on an engine of this database."""

    @abstractmethod
    def read_optuna(self) -> BaseStorage:
        """Return Optuna's own storage, to be read past the product."""

    @abstractmethod
    def rollback(self, process: Process) -> None:
        """End the transaction of a process, if it has one, as if it had not been."""

    @abstractmethod
    def close(self) -> None:
        """End the server."""

    @abstractmethod
    def away(self) -> Exception:
        """Return what the driver raises when the database does not answer."""

    def current(self) -> Process | None:
        """Return who is at work, if anybody is."""
        return None if self._world is None else self._world.current

    def _moment(self, where: str) -> None:
        """Come to a moment at which something may strike.

        Raises:
            Exception: What the driver raises (`away`), if the database does not answer.
        """
        if self._faults is None:
            return
        try:
            self._faults.moment(where)
        except Broken:
            raise self.away() from None

    def _end(self, said: Sequence[str], *, committed: bool) -> None:
        """Come to just before a commit of these statements, or to just after."""
        if said and self._faults is not None:
            try:
                self._faults.done(said, committed=committed)
            except Broken:
                raise self.away() from None

    def _of(self, process: Process) -> World:
        """Return the world, unless the process is gone: what is unwound reaches nothing."""
        if process.gone:
            raise GreenletExit
        return self._world_now()

    def _world_now(self) -> World:
        if self._world is None:
            raise RuntimeError("the server has no world")
        return self._world


class Seat(ABC):
    """An engine of one process at a time: engines are dear, and worlds many.

    Args:
        server: The database.
        url: How the product knows it.
        engine: The engine.
    """

    def __init__(self, server: Server, url: str, engine: Engine) -> None:
        self.url = url
        self.engine = engine
        self.process: Process | None = None
        self._server = server
        engine.connect().close()  # the first time, SQLAlchemy asks what it speaks to
        # An engine with listeners asks them at every statement, which takes a fifth of a schedule.
        opened = partial(_Opened, self)
        engine._connection_cls = opened  # type: ignore[assignment]

        @cache
        def with_options(**options: Any) -> Engine:
            """Return the engine for transactions that write, which is dear to make."""
            other = Engine.execution_options(engine, **options)
            other._connection_cls = opened  # type: ignore[assignment]
            return other

        engine.execution_options = with_options  # type: ignore[method-assign,assignment]

    def begin(self, connection: Connection) -> None:
        """Begin as `storage.engine` lets SQLite begin, without a statement of SQLAlchemy's."""
        mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
        try:
            self.begin_on(connection, writes=mode == "IMMEDIATE")
        except type(self._server.away()) as error:
            raise OperationalError("BEGIN", None, error) from error

    @abstractmethod
    def begin_on(self, connection: Connection, *, writes: bool) -> None:
        """Begin a transaction."""

    def of(self) -> Process:
        """Return the process that sits here, or the thread of it that is at work."""
        if self.process is None:
            raise RuntimeError("nobody sits here")
        current = self._server.current()
        return current if current is not None and current.main is self.process else self.process


class _Opened(Connection):
    """A connection that begins as its seat wants it.

    Args:
        seat: Whose connection it is.
        args: Those of SQLAlchemy's connections.
    """

    def __init__(self, seat: Seat, *args: Any, **kwargs: Any) -> None:
        self._seat = seat
        super().__init__(*args, **kwargs)

    def _begin_impl(self, _transaction: Any) -> None:
        self._seat.begin(self)
