"""Runs one schedule: the product's own workers, storage and commands in a virtual world."""

import gc
import logging
import os
import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage, InMemoryStorage

import sweep.worker.worker as worker_module
from storage.database import Database
from storage.queue.queue import Queue
from sweep.training.contract import Device, TrialJob
from sweep.worker.shutdown import Shutdown
from sweep.worker.worker import Worker
from tests.simulation import deeds, invariants, outcomes
from tests.simulation.databases import Seat, Server
from tests.simulation.faults import Deed, Faults
from tests.simulation.optuna_in_memory import OptunaInMemory
from tests.simulation.postgres_server import PostgresServer
from tests.simulation.pretence import pretended
from tests.simulation.schedule import Plan, draw
from tests.simulation.sqlite_server import SqliteServer
from tests.simulation.tempers import Temper
from tests.simulation.trainings import Nursery
from tests.simulation.world import Process, Restless, World

_MOST_TURNS = 6_000
_REST_WITHIN_S = 6 * 3600.0
"""A quiet system has to come to rest within so many virtual seconds."""
_CARE_S = 300.0
"""How long a worker stays to bring to an end what killed ones left in sweeps that are over."""
_PAUSED = "SELECT name FROM sweeps WHERE state = 'paused'"
_DELETING = "SELECT name FROM sweeps WHERE state = 'deleting'"
_ACTIVE = "SELECT name FROM sweeps WHERE state = 'active'"
_UNDONE = "SELECT id FROM slots WHERE state = 'running' OR unprojected"
_COLLECT_EVERY = 100
_PRETENDING: list["Simulator"] = []
"""The one that is in use in this process."""
_SHM = Path("/dev/shm")
SERVERS: Mapping[str, Callable[[Path, Path], Server]] = {
    "sqlite": SqliteServer,
    "postgresql": PostgresServer,
}
"""What makes the server that schedules run on, of its folder and that of the trials."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a schedule ended."""

    plan: Plan
    violations: tuple[str, ...]
    """The invariants that do not hold; the first one names the fault."""
    log: tuple[tuple[float, str, str], ...]
    moments: int
    virtual_s: float


@dataclass(kw_only=True)
class Cast:
    """Who takes part in one world, for the invariants to look at."""

    plan: Plan
    world: World
    server: Server
    faults: Faults
    nursery: Nursery
    runs: Path
    optuna: Any
    """Optuna's trials, where they are in memory; None where they are in its own tables."""
    read_optuna: Callable[[], BaseStorage]
    """Returns Optuna's storage, to be read when all is at rest."""
    workers: dict[Process, Shutdown] = field(default_factory=dict)
    done: list[tuple[Deed, float, str]] = field(default_factory=list)
    """What users did, when it ended, and how."""
    hurried: set[Process] = field(default_factory=set)
    """Workers that were told to leave at once."""
    stages_at_cancel: dict[str, set[str]] = field(default_factory=dict)
    """The stages that each cancelled sweep had then."""
    locks: dict[Path, Process] = field(default_factory=dict)
    """Who holds the lock of a file."""


class Simulator:
    """Runs schedules one after the other; use it as a context manager.

    Args:
        database: Of `SERVERS`.

    Meanwhile the product's modules of this process have virtual clocks, files that can be full, and
    trainings that take no time.
    """

    def __init__(self, database: str = "sqlite") -> None:
        self._stack = ExitStack()
        self._cast: Cast | None = None
        self._seats: dict[bool, list[Seat]] = {False: [], True: []}
        """Engines, by whether they are for renewals."""
        self._database = database
        self._runs_done = 0
        self._outcomes: dict[Plan, list[Any]] = {}
        """What sweeps come to with one worker and without trouble."""

    def __enter__(self) -> "Simulator":
        if _PRETENDING:
            raise RuntimeError("another simulator has replaced the product's parts")
        _PRETENDING.append(self)
        self._stack.callback(_PRETENDING.clear)
        parent = _SHM if _SHM.is_dir() and os.access(_SHM, os.W_OK) else Path("/tmp")
        self._folder = parent / f"detsweep-simulation-{os.getpid()}"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self._runs = self._folder / "runs"
        self._server = SERVERS[self._database](self._folder, self._runs)
        self._stack.callback(self._server.close)
        disabled = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        self._stack.callback(logging.disable, disabled)
        # What a world leaves behind is collected between worlds, not amid them.
        collects = gc.isenabled()
        gc.freeze()  # nor is what was there before looked at each time
        self._stack.callback(gc.unfreeze)
        gc.disable()
        self._stack.callback(gc.enable if collects else gc.disable)
        self._stack.enter_context(pretended(self))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, plan: Plan) -> Ending:
        """Run a schedule, let everything come to rest, and look at what is there then."""
        if outcomes.is_settled_by(plan):
            calm = outcomes.calm(plan)
            if plan != calm and calm not in self._outcomes and self.run(calm).violations:
                raise RuntimeError(
                    f"with one worker and without faults: {self.run(calm).violations}"
                )
        cast = self._cast_of(plan)
        try:
            violations = self._play(cast)
        finally:
            cast.world.clear()
            for seat in self._all_seats():
                seat.process = None
            self._cast = None
        self._runs_done += 1
        if self._runs_done % _COLLECT_EVERY == 0:
            gc.collect()
        return Ending(
            plan=plan,
            violations=tuple(violations),
            log=tuple(cast.world.log),
            moments=cast.faults.moments,
            virtual_s=cast.world.now,
        )

    def broken_by(self, seeds: Iterable[int]) -> dict[int, tuple[str, ...]]:
        """Run seeds; return what is broken by those that break something."""
        broken = {seed: self.run(draw(seed)).violations for seed in seeds}
        return {seed: found for seed, found in broken.items() if found}

    def _cast_of(self, plan: Plan) -> Cast:
        for path in (self._runs,):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
        world = World(
            random.Random(f"{plan.seed}/turns"), most_turns=_MOST_TURNS * self._server.turns
        )
        faults = Faults(world, plan.faults, plan.deeds, self._begin_deed)
        nursery = Nursery(
            world,
            random.Random(f"{plan.seed}/trainings"),
            temper=lambda job: self._temper(plan, job),
            holds=self._holds,
            disk_is_full=lambda: faults.disk_is_full,
            pace=plan.pace,
        )
        self._server.begin_world(plan.shape, world, faults)
        real = plan.real_optuna or not self._server.optuna_in_memory
        in_memory = None if real else InMemoryStorage()
        self._cast = Cast(
            plan=plan,
            world=world,
            server=self._server,
            faults=faults,
            nursery=nursery,
            runs=self._runs,
            optuna=in_memory,
            read_optuna=lambda: in_memory or self._server.read_optuna(),
        )
        return self._cast

    def _play(self, cast: Cast) -> list[str]:
        plan, world, faults = cast.plan, cast.world, cast.faults
        worker_module.IDLE_S = plan.idle_s
        try:
            for number, device in enumerate(plan.devices):
                self._start_worker(device, machine=f"machine-{number % plan.machines}")
            world.run()
            while faults.act_now():
                world.run()
            world.note("quiet")
            faults.calm()
            world.deadline = world.now + _REST_WITHIN_S
            for name in self._names(_PAUSED):
                self._begin_deed(Deed(at=0, kind="resume", sweep=name))
            world.run()
            for name in self._names(_DELETING):  # it was cut off; a user asks again
                self._begin_deed(Deed(at=0, kind="delete", sweep=name))
            world.run()
            if self._names(_ACTIVE):
                for device in sorted(set(plan.devices)):
                    self._start_worker(device, machine="machine-last")
                world.run()
            if self._names(_UNDONE):
                self._take_care(cast)
        except Restless as restless:
            return [f"restless: {restless}", *invariants.of_processes(cast)]
        tables = invariants.Tables(cast)
        return invariants.violated(cast, tables) or self._differences(plan, tables)

    def _differences(self, plan: Plan, tables: invariants.Tables) -> list[str]:
        """Tell whether a sweep came to something else than it does with one worker."""
        if not outcomes.is_settled_by(plan):
            return []
        calm = outcomes.calm(plan)
        if plan == calm:
            self._outcomes[calm] = outcomes.outcome(tables)
        return outcomes.differences(tables, self._outcomes[calm])

    def _take_care(self, cast: Cast) -> None:
        """Let a worker stay a while that does not leave when all sweeps are over.

        What a killed one left in a cancelled sweep is brought to its end by such a worker.
        """
        process = self._start_worker(cast.plan.devices[0], machine="machine-last", drain=False)
        cast.world.start("clock", lambda: self._let_go(cast, process), machine="machine-user")
        cast.world.run()

    @staticmethod
    def _let_go(cast: Cast, worker: Process) -> None:
        cast.world.sleep(_CARE_S)
        cast.workers[worker].count += 1

    @staticmethod
    def _temper(plan: Plan, job: TrialJob) -> Temper:
        return plan.tempers[(job.slot * 3 + job.attempt) % len(plan.tempers)]

    def _holds(self, slot: int, attempt: int) -> bool:
        query = "SELECT 1 FROM slots WHERE id = ? AND attempt = ? AND state = 'running'"
        return bool(self._server.rows(query, slot, attempt))

    # Processes.

    @property
    def running(self) -> bool:
        """Whether a schedule runs."""
        return self._cast is not None

    def now(self) -> Cast:
        """Return who takes part in the schedule that runs."""
        if self._cast is None:
            raise RuntimeError("no schedule runs")
        return self._cast

    def _seat(self, *, renewing: bool = False) -> Seat:
        for seat in self._seats[renewing]:
            if seat.process is None:
                return seat
        self._seats[renewing].append(self._server.seat(renewing=renewing))
        return self._seats[renewing][-1]

    def _all_seats(self) -> Iterator[Seat]:
        return chain(*self._seats.values())

    def _start(self, name: str, body: Any, *, machine: str) -> Process:
        cast, seat = self.now(), self._seat()
        process = cast.world.start(name, lambda: body(seat), machine=machine)
        process.at_end.append(lambda: self._server.rollback(process))
        seat.process = process
        return process

    def _start_worker(self, device: str, *, machine: str, drain: bool = True) -> Process:
        cast, shutdown = self.now(), Shutdown()

        def work(seat: Seat) -> None:
            database = Database(url=seat.url, engine=seat.engine, queue=Queue(seat.engine))
            Worker(
                database,
                device=Device(kind=device),
                drain=drain,
                shutdown=shutdown,  # type: ignore[arg-type]
            ).run()

        number = len(cast.workers)
        process = self._start(f"{device}-{number}", work, machine=machine)
        cast.workers[process] = shutdown
        return process

    def _begin_deed(self, deed: Deed) -> None:
        cast = self.now()
        cast.world.note(f"deed {deed.kind} {deed.sweep}")
        if deed.kind == "come":
            device = cast.plan.devices[deed.number % len(cast.plan.devices)]
            self._start_worker(device, machine=f"machine-{deed.number % cast.plan.machines}")
        elif deed.kind in deeds.WORKERS:
            there = [found for found in cast.workers.items() if not found[0].gone]
            if there:
                process, shutdown = there[deed.number % len(there)]
                shutdown.count += 1
                if deed.kind == "leave at once":
                    shutdown.count += 1
                    cast.hurried.add(process)
        else:

            def act(seat: Seat) -> None:
                database = Database(url=seat.url, engine=seat.engine, queue=Queue(seat.engine))
                told = deeds.do(database, deed)
                cast.done.append((deed, cast.world.now, told))
                cast.world.note(f"{deed.kind} {deed.sweep}: {told}")
                if deed.kind == "cancel" and told == "done":
                    cast.stages_at_cancel.setdefault(deed.sweep, self._stages(deed.sweep))

            self._start(f"user-{len(cast.world.processes)}", act, machine="machine-user")

    def database_of_a_thread(self) -> Database:
        """Return the database on connections of their own, for a thread of the current process."""
        current = self.now().world.current
        if current is None:
            raise RuntimeError("no process is at work")
        seat = self._seat(renewing=True)
        seat.process = current.main
        return Database(url=seat.url, engine=seat.engine, queue=Queue(seat.engine))

    def _names(self, query: str) -> list[str]:
        return [name for (name,) in self._server.rows(query)]

    def _stages(self, sweep: str) -> set[str]:
        query = "SELECT s.name FROM stages s JOIN sweeps w ON w.id = s.sweep_id WHERE w.name = ?"
        return {name for (name,) in self._server.rows(query, sweep)}

    def open_optuna(self, _url: str, **_: Any) -> Any:
        """Open Optuna's tables, as its constructor does: with a statement that may fail."""
        cast = self.now()
        at_work = cast.world.current
        sitting = (seat for seat in self._all_seats() if at_work and seat.process is at_work.main)
        seat = next(sitting)
        with seat.engine.begin() as connection:  # as it looks at the version of its tables
            connection.exec_driver_sql("SELECT 1")
        if cast.optuna is not None:
            return OptunaInMemory(cast.optuna, seat)
        return self._server.optuna_on(seat.engine)
