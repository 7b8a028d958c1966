"""A worker's side of the pipe from the process that started it on the same machine."""

import os
import signal
import sys
import threading
from typing import NoReturn

from sweep.training.process.parent import set_parent_death_signal
from sweep.worker.shutdown import Shutdown

_STDIN = 0
_WORD = b"leave"


def leave_request(within_s: float | None) -> bytes:
    """Return the line that asks a worker to leave."""
    return _WORD + b"\n" if within_s is None else b"%s %.3f\n" % (_WORD, within_s)


def obey(shutdown: Shutdown, parent: int) -> None:
    """Heed what the process that started this one says over stdin, and end with it.

    A worker that trained on would hold its slot, and claim more of a sweep that somebody thinks has
    ended.

    Args:
        shutdown: Told when to leave.
        parent: Id of the process that started this one.
    """
    pipe = os.dup(_STDIN)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, _STDIN)  # what this process starts must not read from the pipe
    os.close(nothing)
    # A stopped process, too, gets SIGKILL; it reads from no pipe.
    if not set_parent_death_signal(signal.SIGKILL, parent):
        _end()
    threading.Thread(target=_listen, args=(pipe, shutdown), name="launcher", daemon=True).start()


def _listen(pipe: int, shutdown: Shutdown) -> None:
    while said := os.read(pipe, 4096):
        for line in said.splitlines():
            _, *within_s = line.split()
            shutdown.ask(float(within_s[0]) if within_s else None)
    _end()


def _end() -> NoReturn:
    """End at once, for nobody is left to say when; trainings end with this process."""
    os.write(sys.stderr.fileno(), b"ending with the process that started this worker\n")
    os._exit(1)
