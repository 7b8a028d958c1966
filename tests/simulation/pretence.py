"""What the product finds in the place of the real world: clocks, processes, files, trainings."""

import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

import storage.optuna.storage  # noqa: F401 - else loaded at its first use, with the real clock
import sweep.worker.attempt as attempt_module
import sweep.worker.disk as disk_module
import sweep.worker.lease_keeper as keeper_module
import sweep.worker.leftovers as leftovers_module
import sweep.worker.retry as retry_module
import sweep.worker.worker as worker_module
from storage.database import Database
from storage.optuna import private
from storage.process_identity import ProcessIdentity
from storage.queue import deleting
from sweep.files import atomic_write, lock
from sweep.training import devices
from sweep.training.process import child, forkserver
from sweep.worker import disk, places
from tests.in_process import ServerIsThere
from tests.simulation.faults import Broken
from tests.simulation.optuna_in_memory import OptunaInMemory
from tests.simulation.substitutes import Instead, replaced_everywhere
from tests.simulation.world import Process, World

if TYPE_CHECKING:
    from tests.simulation.simulator import Cast, Simulator


_NAP_S = 10.0
"""Who waits looks so often whether something has changed; its own pace is slow to simulate."""


@contextmanager
def pretended(simulator: "Simulator") -> Iterator[None]:
    """Let all modules of the product find the virtual world of a simulator."""
    found = _Pretence(simulator)
    with ExitStack() as stack:
        stack.enter_context(replaced_everywhere(*found.everywhere()))
        for holder, name, value in found.attributes():
            stack.callback(setattr, holder, name, vars(holder)[name])
            setattr(holder, name, value)
        yield


def _attribute_of_studies(storage: OptunaInMemory, key: str) -> dict[str, Any]:
    return {study.study_name: study.user_attrs.get(key) for study in storage.get_all_studies()}


_IN_MEMORY: dict[Callable[..., Any], Callable[..., Any]] = {
    private.attribute_of_studies: _attribute_of_studies,
    private.count_trials: lambda storage, study_id: storage.get_n_trials(study_id),
    private.delete_study: lambda storage, study_id: storage.delete_study(study_id),
    private.delete_trials: lambda *_, **__: False,  # ahead of their study, which is not dear there
}
"""What takes the place of functions that read and write Optuna's tables past its API."""


def _wherever(real: Callable[..., Any], in_memory: Callable[..., Any]) -> Callable[..., Any]:
    def act(storage: Any, *args: Any, **kwargs: Any) -> Any:
        return (real if isinstance(storage, RDBStorage) else in_memory)(storage, *args, **kwargs)

    return act


def _add_trial(real: Callable[..., tuple[int, int]]) -> Callable[..., tuple[int, int]]:
    """Return what makes a trial in a transaction of ours, wherever the trials are."""

    def add_trial(
        storage: Any, connection: Any, study_id: int, template: FrozenTrial
    ) -> tuple[int, int]:
        if isinstance(storage, OptunaInMemory):
            return storage.add_trial(study_id, template)
        return real(storage, connection, study_id, template)

    return add_trial


class _Thread:
    """A thread of the process at work."""

    def __init__(self, cast: "Cast", body: Callable[[], None]) -> None:
        self._cast = cast
        self._body = body
        self._begun: Process | None = None

    def start(self) -> None:
        server = self._cast.server
        self._begun = begun = self._cast.world.start_thread("keeper", self._body)
        begun.at_end.append(lambda: server.rollback(begun))

    def is_alive(self) -> bool:
        return self._begun is not None and not self._begun.gone


class _Event:
    """What threads wait for."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._set = False
        self._waiting: list[Process] = []

    def set(self) -> None:
        self._set = True
        for process in self._waiting:
            self._world.wake(process)

    def is_set(self) -> bool:
        return self._set

    def wait(self, timeout_s: float) -> bool:
        process = self._world.current
        if not self._set and process is not None:
            self._waiting.append(process)
            self._world.sleep(timeout_s)
            self._waiting.remove(process)
        return self._set


class _Pretence:
    def __init__(self, simulator: "Simulator") -> None:
        self._simulator = simulator

    def everywhere(self) -> list[tuple[Any, Any]]:
        """Return what is replaced wherever the product holds it."""
        clock = Instead(time, monotonic=self._monotonic, time=self._wall, sleep=self._sleep)
        return [
            (time, clock),
            (time.monotonic, clock.monotonic),
            (time.sleep, clock.sleep),
            (child.wait, self._wait),
            (forkserver.fork_context, self._fork_context),
            (forkserver.warm_up, lambda _trainer: None),
            (lock.lock, self._lock),
            (atomic_write.sync, lambda _file: self._sync()),
            (atomic_write.sync_folder, lambda _folder: self._sync()),
            (disk.lacks_room, lambda _folder: self._cast.faults.disk_is_full),
            (disk.looks_full, lambda _folder: self._cast.faults.disk_is_full),
            (places._importable, lambda _module: True),
            (devices.visible_gpus, lambda: [devices.Gpu(index=0, name="virtual")]),
            (RDBStorage, self._simulator.open_optuna),
            (private.use_engine, self._use_engine),
            *((real, _wherever(real, other)) for real, other in _IN_MEMORY.items()),
            (private.add_trial, _add_trial(private.add_trial)),
        ]

    def attributes(self) -> list[tuple[Any, str, Any]]:
        """Return what is replaced in one place: who has it, its name, its substitute."""
        return [
            (ProcessIdentity, "current", staticmethod(self._identity)),
            (ProcessIdentity, "provably_dead", self._method_provably_dead()),
            (worker_module, "IDLE_S", worker_module.IDLE_S),  # set anew for each schedule
            (worker_module, "os", Instead(os, getpid=lambda: self._process.pid)),
            (worker_module, "socket", Instead(socket, gethostname=lambda: self._process.machine)),
            *((module, "NAP_S", _NAP_S) for module in (worker_module, retry_module, disk_module)),
            (attempt_module, "_POLL_S", _NAP_S),
            (child, "os", Instead(os, read=lambda end, _most: end.read(), kill=lambda *_: None)),
            (child, "parent_pid", lambda: 1),
            (forkserver, "Readiness", ServerIsThere),
            (
                keeper_module,
                "threading",
                Instead(threading, Thread=self._thread, Event=self._event),
            ),
            (keeper_module, "signal", Instead(signal, pthread_sigmask=lambda *_: None)),
            (leftovers_module, "remove_dead_scratch", lambda: None),
            (Database, "renewing", lambda _self: self._simulator.database_of_a_thread()),
            (deleting, "locked_folder", self._locked_folder),
        ]

    @property
    def _cast(self) -> "Cast":
        return self._simulator.now()

    @property
    def _process(self) -> Process:
        process = self._cast.world.current
        if process is None:
            raise RuntimeError("no process is at work")
        return process.main

    def _monotonic(self) -> float:
        if not self._simulator.running:  # the database's image is being made
            return time.monotonic()
        return self._cast.world.now

    def _wall(self) -> float:
        return self._cast.world.wall_s

    def _sleep(self, seconds: float) -> None:
        self._cast.world.sleep(seconds)

    def _wait(self, ends: Sequence[Any], timeout_s: float) -> list[Any]:
        return self._cast.nursery.wait(ends, timeout_s)

    def _fork_context(self, trainer: str) -> Any:
        return self._cast.nursery.fork_context(trainer)

    def _identity(self) -> ProcessIdentity:
        process = self._process
        return ProcessIdentity(
            host=process.machine,
            boot_id=process.machine,
            pid_namespace="",
            pid=process.pid,
            started_at=0.0,
        )

    def _method_provably_dead(self) -> Callable[[ProcessIdentity], bool]:
        def provably_dead(identity: ProcessIdentity) -> bool:  # a method, so a function
            return self._provably_dead(identity)

        return provably_dead

    def _provably_dead(self, identity: ProcessIdentity) -> bool:
        if identity.boot_id != self._process.machine:
            return False
        return all(
            p.pid != identity.pid or p.gone for p in self._cast.world.processes if p.of is None
        )

    def _use_engine(self, storage: Any, engine: Any, *, read_only: bool = False) -> None:
        if isinstance(storage, RDBStorage):
            begin = "DEFERRED" if read_only else "IMMEDIATE"
            storage.engine = engine.execution_options(sqlite_begin=begin)
            storage.scoped_session.configure(bind=storage.engine)

    def _sync(self) -> None:
        """Come to the moment at which what was written reaches the disk."""
        cast = self._cast
        cast.world.turn()
        try:
            cast.faults.moment("sync")
        except Broken:
            return  # a database that is away keeps no file from the disk
        if cast.faults.disk_is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _thread(self, *, target: Callable[..., None], args: tuple[Any, ...], **_: Any) -> "_Thread":
        return _Thread(self._cast, lambda: target(*args))

    def _event(self) -> "_Event":
        return _Event(self._cast.world)

    @contextmanager
    def _locked_folder(self, _file: str | None) -> Iterator[bool]:
        cast, process, place = self._cast, self._process, Path("database")
        if place in cast.locks and not cast.locks[place].gone:
            yield False
            return
        cast.locks[place] = process
        try:
            yield True
        finally:
            if cast.locks.get(place) is process:
                del cast.locks[place]

    @contextmanager
    def _lock(self, path: Path, *, within_s: float) -> Iterator[None]:
        cast, process = self._cast, self._process
        until = cast.world.now + within_s
        while path in cast.locks and not cast.locks[path].gone:
            if cast.world.now >= until:
                raise lock.Held(f"{path}: held by {cast.locks[path].name}")
            cast.world.sleep(1.0)
        path.parent.mkdir(parents=True, exist_ok=True)
        cast.locks[path] = process
        try:
            yield
        finally:
            if cast.locks.get(path) is process:
                del cast.locks[path]
