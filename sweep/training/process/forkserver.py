"""The server that training processes are forked from: torch is loaded once, not in every trial.

Only on Linux: macOS' own libraries do not bear to be forked once they are loaded, so there each
training is a fresh process, which loads torch itself.
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, SpawnContext
from types import ModuleType

from sweep.training.registry import BUILT_IN

_LIGHT = ["sweep.training.process.server_setup"]
_WITH_TORCH = [*_LIGHT, "sweep.training.ultralytics.preload"]
_lock = threading.Lock()

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
            if not chosen:
                del os.environ[TUNABLES]


def warm_up(trainer: str) -> None:
    """Start the server for `trainer` without waiting, so that it is ready for the first job."""
    with fork_context(trainer):
        pass
