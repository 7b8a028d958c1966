"""A real PostgreSQL, whose clients take turns at every statement.

Each engine has connections of its own, so that transactions of several processes are open at once,
see what PostgreSQL lets them see, and wait for each other's locks. A statement that waits for a
lock gives its turn away until a transaction ends; whether it waits, the server itself is asked. So
an order of turns is the same each time, whatever the machine has to do.

The server's clock is the world's: `clock_timestamp()` is ours, for our schema is searched first.
What the server's own clock would end, a session that is idle amid a transaction or a wait for a
lock, is ended when the world's says so.
"""

import json
import select
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import psycopg
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import BaseModel
from psycopg import pq
from psycopg.rows import dict_row
from sqlalchemy import Connection, Engine, QueuePool, create_engine

from storage.database import Database
from storage.deadlines import RENEWING, WORKING
from storage.postgresql import _IDLE_IN_TRANSACTION_S
from storage.tables import metadata
from tests.postgres import Postgres
from tests.simulation.databases import Seat, Server
from tests.simulation.images import optuna_on, submit_shape
from tests.simulation.schedule import SHAPES
from tests.simulation.world import Process

_NAME = "simulation"
_CLOCK = """
CREATE SCHEMA clock;
CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS $$ SELECT to_timestamp(current_setting('clock.now')::double precision) $$;
"""
_OPTIONS = (
    "-c search_path=clock,pg_catalog,public -c clock.now=0 "
    # A plan must not depend on how often a connection has run a statement in worlds before.
    "-c plan_cache_mode=force_generic_plan"
)
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",  # it would move rows, and with them their order
    "deadlock_timeout": "10min",  # who waits for whom is looked at here
    "max_connections": "200",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
_TABLES = [table.name for table in metadata.sorted_tables]
_ALL = ", ".join([*_TABLES, *(table.name for table in BaseModel.metadata.sorted_tables)])
_LOOK_MS = 3
"""So long a statement may take before the server is asked whether it waits for a lock."""
_TOLD_S = 0.5
"""How wrong the clock of a transaction may be."""
_VACUUM_EVERY = 200


class Deadlock(Exception):
    """Transactions wait for each other."""


class Link(psycopg.Connection[Any]):
    """A connection of one seat at a time."""

    seat: "PostgresSeat | None" = None
    process: Process | None = None
    """Whose transaction is open on it."""
    heard: float = 0.0
    """When the server last heard of that."""
    told: float = 0.0
    """What time it believes to be, by the world's wall clock."""
    writes: bool = False
    said: list[str]

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
        """Wait for the server, and let others go on meanwhile if it waits for one of them."""
        if self.process is None or self.seat is None:
            return super().wait(gen, *args, **options)
        return self.seat.server.wait(self, self.process, gen)

    def commit(self) -> None:
        """End the transaction for good; perhaps nobody hears of it."""
        if self.process is not None and self.seat is not None:
            self.seat.server.commit(self, self.process)

    def rollback(self) -> None:
        """End the transaction as if it had not been."""
        if self.process is not None and self.seat is not None:
            self.seat.server.end(self)

    def close(self) -> None:
        """Leave the connection to the next one who needs one: to make one is dear."""
        if self.seat is None or self.closed or self.process is not None or self.autocommit:
            super().close()
        else:
            self.seat.server.leave(self)

    def run(self, command: str) -> None:
        """Let the server do something at once, past the world."""
        result = self.pgconn.exec_(command.encode())
        if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
            raise RuntimeError(f"{command}: {result.error_message.decode()}")


class _Cursor(psycopg.Cursor[Any]):
    def execute(self, query: Any, *args: Any, **options: Any) -> "_Cursor":
        self._come_to(query)
        return super().execute(query, *args, **options)

    def executemany(self, query: Any, *args: Any, **options: Any) -> None:
        self._come_to(query)
        super().executemany(query, *args, **options)

    def _come_to(self, query: Any) -> None:
        link = self._conn
        assert isinstance(link, Link)
        if link.seat is not None and link.process is not None:
            link.seat.server.statement(link, link.process, str(query))


class PostgresServer(Server):
    """One database of a server of its own.

    Args:
        folder: That nobody else has.
        runs: Where the trials of the sweeps write.
    """

    optuna_in_memory = False  # another would see half a transaction
    turns = 6

    def __init__(self, folder: Path, runs: Path) -> None:
        super().__init__()
        self._runs = runs
        self._postgres = Postgres(**_SETTINGS)
        self._postgres.start()
        self._url = self._postgres.create_database(_NAME)
        self._address = self._postgres.address(_NAME)
        self._links: list[Link] = []
        self._left: list[Link] = []
        """Connections that nobody uses."""
        self._parked: dict[Link, Process] = {}
        self._images: set[int] = set()
        self._worlds = 0
        try:
            Database.open(self._url).engine.dispose()
            self._optuna = RDBStorage(self._url)
            self._optuna.engine.dispose()
            self._looking = psycopg.connect(self._address, autocommit=True, row_factory=dict_row)
            self._looking.execute(_CLOCK)
        except BaseException:
            self.close()
            raise
        self._optuna_engine = create_engine(self._url)

    def close(self) -> None:
        """End the server and delete its data."""
        self._postgres.remove()

    # Worlds.

    def _restore(self, shape: int) -> None:
        for link in [link for link in self._links if link.process is not None]:
            self._drop(link)
        self._parked.clear()
        self._looking.execute(f"TRUNCATE {_ALL} RESTART IDENTITY CASCADE")
        if shape not in self._images:
            self._take_image(shape)
        image = _image(shape)
        for table in metadata.sorted_tables:
            self._looking.execute(
                f"INSERT INTO public.{table.name} SELECT * FROM {image}.{table.name}"
            )
            if table.autoincrement_column is not None:
                sequence = f"pg_get_serial_sequence('{table.name}', 'id')"
                self._looking.execute(
                    f"SELECT setval({sequence}, (SELECT count(*) FROM {table.name}) + 1, false)"
                )
        self._worlds += 1
        if self._worlds % _VACUUM_EVERY == 0:
            self._looking.execute("VACUUM")

    def _take_image(self, shape: int) -> None:
        """Submit the sweeps of a shape, and keep the rows in a schema of their own."""
        engine = Database.open(self._url).engine
        submit_shape(engine, SHAPES[shape], self._runs)
        engine.dispose()
        self._looking.execute(f"CREATE SCHEMA {_image(shape)}")
        for table in _TABLES:
            self._looking.execute(
                f"CREATE TABLE {_image(shape)}.{table} AS SELECT * FROM public.{table}"
            )
        self._images.add(shape)
        self._looking.execute(f"TRUNCATE {_ALL} RESTART IDENTITY CASCADE")

    def seat(self, *, renewing: bool = False) -> "PostgresSeat":
        """Return a new engine, of nobody yet."""
        return PostgresSeat(self, self._url, (RENEWING if renewing else WORKING).statement_s)

    def link(self, seat: "PostgresSeat") -> Link:
        """Return a connection that nobody uses."""
        if self._left:
            link = self._left.pop()
        else:
            link = Link.connect(self._address, cursor_factory=_Cursor, options=_OPTIONS)
            link.prepare_threshold = 0
        link.seat, link.said = seat, []
        self._links.append(link)
        return link

    def leave(self, link: Link) -> None:
        """Take back a connection."""
        self._links.remove(link)
        self._left.append(link)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read what is committed, past the product."""
        found = self._looking.execute(query.replace("?", "%s"), values or None)
        return [tuple(row.values()) for row in found]

    def records(self, query: str) -> list[dict[str, Any]]:
        """Read rows by the names of their columns; JSON as text."""
        return [
            {name: _as_text(value) for name, value in row.items()}
            for row in self._looking.execute(query)
        ]

    def optuna_on(self, engine: Engine) -> RDBStorage:
        """Return Optuna's own storage on an engine of this database."""
        return optuna_on(self._optuna, engine)

    def read_optuna(self) -> RDBStorage:
        """Return Optuna's own storage, past the world."""
        return optuna_on(self._optuna, self._optuna_engine)

    def away(self) -> psycopg.OperationalError:
        """Return what the driver raises when the server does not answer."""
        return psycopg.OperationalError("server closed the connection unexpectedly")

    # Transactions.

    def begin(self, link: Link, process: Process, *, writes: bool) -> None:
        """Begin a transaction."""
        self._of(process).turn()
        self._break_at(link, "begin")
        link.process, link.writes, link.said = process, writes, []
        link.heard, link.told = self._world_now().now, self._world_now().wall_s
        link.run(f"BEGIN; SET LOCAL clock.now = '{link.told}'")

    def statement(self, link: Link, process: Process, what: str) -> None:
        """Come to a statement amid a transaction; others may go on before."""
        world = self._of(process)
        world.turn()
        if link.writes:
            link.said.append(what)
        self._break_at(link, "statement")
        self._expire()
        if link.closed:
            raise self.away()
        if abs(world.wall_s - link.told) > _TOLD_S and _goes_on(link):
            link.run(f"SET LOCAL clock.now = '{world.wall_s}'")
            link.told = world.wall_s
        link.heard = world.now

    def wait(self, link: Link, process: Process, gen: Generator[Any, Any, Any]) -> Any:
        """Drive what waits for the server's answer."""
        try:
            wanted = next(gen)
            while True:
                while not (ready := _ready(link, wanted, _LOOK_MS)):
                    if self._blockers(link):
                        self._park(link, process)
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value

    def commit(self, link: Link, process: Process) -> None:
        """End a transaction for good; perhaps nobody hears of it."""
        self._of(process).turn()
        said, wrote = link.said, link.writes
        self._break_at(link, "commit")
        try:
            self._end(said, committed=False)
        except psycopg.OperationalError:
            self._drop(link)
            raise
        self._expire()
        if link.closed:
            raise self.away()
        self._finish(link, "COMMIT")
        if wrote and self._faults is not None and self._faults.unheard():
            self._drop(link)
            raise self.away()
        try:
            self._end(said, committed=True)
            self._moment("committed")
        except psycopg.OperationalError:
            self._drop(link)
            raise

    def end(self, link: Link) -> None:
        """Roll back what is open on a connection."""
        if link.closed:
            link.process = None
        else:
            self._finish(link, "ROLLBACK")

    def rollback(self, process: Process) -> None:
        """Break the connections of a process that ends amid a transaction."""
        for link in [link for link in self._links if link.process is process]:
            self._drop(link)

    def _break_at(self, link: Link, where: str) -> None:
        """Come to a moment; if the database does not answer, the connection breaks."""
        try:
            self._moment(where)
        except psycopg.OperationalError:
            self._drop(link)
            raise

    def _finish(self, link: Link, command: str) -> None:
        link.run(command)
        link.process = None
        self._let_on()

    def _drop(self, link: Link) -> None:
        """Break a connection: the server rolls back what is open on it."""
        self._parked.pop(link, None)
        self._links = [other for other in self._links if other is not link]
        if link.closed:
            return
        if link.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
            link.pgconn.get_cancel().cancel()
            while link.pgconn.get_result() is not None:
                pass
        if link.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            link.run("ROLLBACK")
        link.process = None
        link.pgconn.finish()
        self._let_on()

    # Waiting for locks.

    def _park(self, link: Link, process: Process) -> None:
        """Let others go on until a statement that waits for a lock has it, or has waited enough."""
        world = self._of(process)
        assert link.seat is not None
        until = world.now + link.seat.lock_s
        self._parked[link] = process
        self._refuse_deadlock(link)
        while self._parked.get(link) is process and self._blockers(link):
            if world.now >= until:
                link.pgconn.get_cancel().cancel()
                break
            idle = [other.heard + _IDLE_IN_TRANSACTION_S for other in self._silent()]
            world.wait_until(min([until, *(moment for moment in idle if moment > world.now)]))
            self._expire()
        self._parked.pop(link, None)

    def _let_on(self) -> None:
        """Wake whose statements go on now that a transaction has ended."""
        for link, process in list(self._parked.items()):
            while not _ready(link, psycopg.generators.WAIT_R, _LOOK_MS):
                if self._blockers(link):
                    break
            else:
                self._world_now().wake(process)

    def _blockers(self, link: Link) -> list[int]:
        query = "SELECT pg_blocking_pids(%s) AS pids"
        row = self._looking.execute(query, [link.pgconn.backend_pid]).fetchone()
        return list(row["pids"]) if row is not None else []

    def _refuse_deadlock(self, link: Link) -> None:
        by_pid = {other.pgconn.backend_pid: other for other in self._parked}
        found, left = set(), [link]
        while left:
            for pid in self._blockers(left.pop()):
                if pid == link.pgconn.backend_pid:
                    raise Deadlock(f"{', '.join(p.name for p in self._parked.values())}")
                if pid in by_pid and pid not in found:
                    found.add(pid)
                    left.append(by_pid[pid])

    def _silent(self) -> Iterator[Link]:
        """Yield the connections whose clients are amid a transaction and say nothing."""
        parked = set(self._parked)
        return (link for link in self._links if link.process is not None and link not in parked)

    def _expire(self) -> None:
        """End the sessions that have been idle amid a transaction for too long."""
        now = self._world_now().now
        for link in list(self._silent()):
            if link.heard + _IDLE_IN_TRANSACTION_S <= now and not link.closed:
                process = link.process
                self._drop(link)
                link.process = process  # it does not know yet


class PostgresSeat(Seat):
    """An engine on connections of its own.

    Args:
        server: The server.
        url: Of the database.
        statement_s: After how long a statement is given up; a wait for a lock in half of that.
    """

    def __init__(self, server: PostgresServer, url: str, statement_s: float) -> None:
        self.server = server
        self.lock_s = statement_s / 2
        engine = create_engine(
            url,
            creator=lambda: server.link(self),
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=4,
            use_native_hstore=False,
            pool_pre_ping=True,
        )
        engine.dialect.do_ping = lambda link: not link.closed  # type: ignore[method-assign]
        super().__init__(server, url, engine)

    def begin_on(self, connection: Connection, *, writes: bool) -> None:
        """Begin a transaction."""
        link = connection.connection.dbapi_connection
        assert isinstance(link, Link)
        try:
            self.server.begin(link, self.of(), writes=writes)
        except psycopg.OperationalError as error:
            connection.invalidate(error)
            raise


def _image(shape: int) -> str:
    return f"image_{shape}"


def _goes_on(link: Link) -> bool:
    return link.pgconn.transaction_status == pq.TransactionStatus.INTRANS


def _as_text(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


def _ready(link: Link, wanted: int, within_ms: float) -> int:
    """Return for what a connection is ready (psycopg's `Ready`); 0 if for nothing yet."""
    poll = select.poll()
    mask = (select.POLLIN if wanted & 1 else 0) | (select.POLLOUT if wanted & 2 else 0)
    poll.register(link.pgconn.socket, mask)
    for _, found in poll.poll(within_ms):
        return (1 if found & ~select.POLLOUT else 0) | (2 if found & select.POLLOUT else 0)
    return 0
