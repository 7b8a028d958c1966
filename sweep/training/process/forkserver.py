"""The server that training processes are forked from: torch is loaded once, not in every trial.

Only on Linux: macOS' own libraries do not bear to be forked once they are loaded, so there each
training is a fresh process, which loads torch itself.
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, SpawnContext
from types import ModuleType

from sweep.training.registry import BUILT_IN

_LIGHT = ["sweep.training.process.server_setup"]
_WITH_TORCH = [*_LIGHT, "sweep.training.ultralytics.preload"]
_lock = threading.Lock()
_LOOK_S = 0.2

SUPERVISOR = "SWEEP_SUPERVISOR"
"""Variable that tells the server which process it belongs to."""
TUNABLES = "GLIBC_TUNABLES"
ALLOCATOR = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in {
        "hugetlb": 1,  # ask for huge pages
        "mmap_threshold": 1 << 30,
        "trim_threshold": 1 << 35,
        "top_pad": 1 << 26,
    }.items()
)
"""A training asks for the same large tensors in every step. The C library, left to itself, gives
each back to the kernel, which has to clear its pages again for the next step: 5 to 8 % of a step on
a CPU. The C library reads this when a program starts; others than glibc do not know it.
"""


def forks() -> bool:
    """Whether training processes are forked from a server here."""
    return sys.platform == "linux"


@contextmanager
def fork_context(trainer: str) -> Iterator[ForkServerContext | SpawnContext]:
    """Give the context to start one training process of `trainer` from.

    Starts this process's server where there is none. The first trainer decides whether the server
    loads torch and Ultralytics (about 4 s, once): for another one than the built-in it does not,
    and trainings of the built-in one on that server load them themselves.

    `__main__` is hidden meanwhile: multiprocessing would run the caller's script again in every
    child, which needs nothing of it.
    """
    with _lock:
        main, chosen = sys.modules["__main__"], TUNABLES in os.environ
        sys.modules["__main__"] = ModuleType("__main__")
        os.environ.setdefault(TUNABLES, ALLOCATOR)
        os.environ[SUPERVISOR] = str(os.getpid())
        try:
            if not forks():
                yield multiprocessing.get_context("spawn")
                return
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(_WITH_TORCH if trainer in BUILT_IN else _LIGHT)
            forkserver.ensure_running()
            yield context
        finally:
            sys.modules["__main__"] = main
            del os.environ[SUPERVISOR]
            if not chosen:
                del os.environ[TUNABLES]


def server_pid() -> int | None:
    """Return the process id of this process's server; None before there was one.

    Relies on private names of multiprocessing, which offers no public ones for it.
    """
    pid: int | None = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    return pid


def parent_pid() -> int | None:
    """Return the process id of the parent of trainings that are started now."""
    return server_pid() if forks() else os.getpid()


class Readiness:
    """Whether the server has loaded what it preloads, so that a training begins at once.

    A slot's lease must not run meanwhile: from a cold network disk, torch takes minutes.
    """

    def __init__(self) -> None:
        self._ready: int | None = None
        """Process id of the server that was found ready."""

    def ready(self, trainer: str) -> bool:
        """Return whether it is; starts it where there is none that lives.

        From the main thread, whose end the server does not outlive.

        Args:
            trainer: Of the first trainings.

        Raises:
            OSError: If no process can be started.
        """
        if not forks():
            return True
        warm_up(trainer)
        return self._ready is not None and self._ready == server_pid()

    def wait(self, trainer: str, leave: Callable[[], bool]) -> bool:
        """Wait until it is, also when the server must be started first; return whether it is.

        From the main thread.

        Args:
            trainer: Of the first trainings.
            leave: Asked some times a second whether to wait no more.

        Raises:
            OSError: If no process can be started.
            EOFError: If the server ended before it was ready.
        """
        if self.ready(trainer):
            return True
        pid, waiting = server_pid(), _Waiting(trainer)
        waiting.start()
        while waiting.is_alive() and not leave():
            waiting.join(_LOOK_S)
        if waiting.is_alive():
            return False
        if waiting.error is not None:
            raise waiting.error
        self._ready = pid
        return True


class _Waiting(threading.Thread):
    """Waits for a process that does nothing: the server forks none before it has loaded all."""

    def __init__(self, trainer: str) -> None:
        super().__init__(name="waiting for the fork server", daemon=True)
        self.error: OSError | EOFError | None = None
        self._trainer = trainer

    def run(self) -> None:
        try:
            with fork_context(self._trainer) as context:
                process = context.Process(target=_nothing)
                process.start()
            process.join()
        except (OSError, EOFError) as error:
            self.error = error


def _nothing() -> None:
    pass


def warm_up(trainer: str) -> None:
    """Start the server for `trainer` without waiting, so that it is ready for the first job."""
    with fork_context(trainer):
        pass
