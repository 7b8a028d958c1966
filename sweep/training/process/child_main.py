"""The process that trains: it speaks to its supervisor over one pipe and knows no database."""

import contextlib
import faulthandler
import gc
import importlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import traceback
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from sweep.errors import InputError
from sweep.files.yaml import one_line
from sweep.paths import LOG
from sweep.training import registry
from sweep.training.contract import (
    Decision,
    EpochReport,
    FailureKind,
    TrainingBroken,
    TrainingFailed,
    TrainingStopped,
    TrialJob,
    TrialResult,
)
from sweep.training.process import heartbeat, plain
from sweep.training.process.door import RAISED, Door
from sweep.training.process.environment import environment
from sweep.training.process.messages import (
    Alive,
    Completed,
    EpochDone,
    Failed,
    Message,
    Stopped,
    Unable,
)
from sweep.training.process.parent import set_parent_death_signal
from sweep.training.process.wire import LONGEST_MESSAGE, encode

ALIVE_EVERY_S = 5.0
"""The process says at least this often that it lives, and whether its training moves on."""
TELL_SIGNAL = signal.SIGUSR2
"""Has the process write to its log where all of its threads are."""

_SETUP = "sweep.training.process.server_setup"


def run(connection: Connection, job: TrialJob, parent: int | None) -> None:
    """Train `job`, tell how it went, and end the process.

    Args:
        connection: To the supervisor.
        job: What to train.
        parent: Id of the process that started this one.
    """
    importlib.import_module(_SETUP)  # for a process that was not forked from the server
    gc.enable()
    # Loader processes are our children then, and end when we are killed. From a server of their
    # own, which a child of a fork server would start, they would live on.
    multiprocessing.set_start_method("fork" if sys.platform == "linux" else "spawn", force=True)
    _heed_signals(parent)
    link = _Link(connection)
    link.start()
    try:
        _redirect_output(job.run_folder)
        message = _train(job, link)
    except BaseException as error:  # SystemExit too: a trainer must not end without a word
        message = _failure(error)
    try:
        link.send(message)
    except TrainingBroken as error:  # too long
        link.send(_failure(error))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # whatever the trainer has put in its place
            stream.flush()
    os._exit(0)  # threads and loader processes that a trainer left behind must not hold us


def _heed_signals(parent: int | None) -> None:
    """Leave SIGINT and SIGTERM to the supervisor, and die with the process that started us.

    Terminals and schedulers send both to every process of a job, and the epoch at hand may still
    end then. The supervisor itself ends us with SIGKILL.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the server's means that its supervisor is gone
    if not set_parent_death_signal(signal.SIGKILL, parent):
        os._exit(1)


def _redirect_output(run_folder: Path) -> None:
    """Send all that the process prints to the log, so that it cannot disturb a progress display."""
    run_folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(run_folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    faulthandler.enable()
    faulthandler.register(TELL_SIGNAL)


def _train(job: TrialJob, link: "_Link") -> Message:
    decided = Decision.CONTINUE
    broken: Exception | None = None
    door = Door(job)

    def on_epoch(report: EpochReport) -> Decision:
        nonlocal decided, broken
        if broken is not None:
            raise broken  # the trainer did not let it pass
        if decided is not Decision.CONTINUE:
            raise TrainingStopped(decided)  # the trainer did not obey
        try:
            link.send(EpochDone(door.report(report)))
        except (TrainingBroken, TrainingFailed) as error:
            broken = error
            raise
        with heartbeat.waiting():  # the supervisor may wait for its database
            decided = link.decisions.get()
        return decided

    try:
        trainer = registry.resolve(job.trainer)
    except InputError as error:
        traceback.print_exception(error)
        return Unable(one_line(str(error)))
    try:
        result = trainer(job, on_epoch)
    except TrainingStopped as stopped:
        if broken is None and decided is Decision.CONTINUE:
            raise TrainingBroken(f"{job.trainer} stopped, though it was told to go on") from stopped
    except Exception as error:
        if broken is not None and error is not broken:
            raise broken from error
        raise
    if broken is not None:
        raise broken
    if decided is not Decision.CONTINUE:
        return Stopped(decided)
    if not isinstance(result, TrialResult):
        raise TrainingBroken(f"{job.trainer} returned {plain.shown(result)}, not a TrialResult")
    return Completed(door.result(replace(result, environment=environment(job.device))))


def _failure(error: BaseException) -> Failed:
    """Turn what a trainer raised into a message, and write its traceback to the log.

    It may be of a class of the trainer's own, which can raise whatever is asked of it.
    """
    with contextlib.suppress(Exception):
        traceback.print_exception(error)
    kind, text = FailureKind.CRASHED, f"{type(error).__name__}, of which nothing can be told"
    with contextlib.suppress(Exception):
        if isinstance(error, TrainingFailed):
            text = str(error)
            kind = error.kind if error.kind in RAISED else kind
        elif isinstance(error, MemoryError):
            kind, text = FailureKind.OOM, f"out of memory: {error}".rstrip(": ")
        elif isinstance(error, InputError | TrainingBroken):
            text = str(error)
        else:
            text = traceback.format_exception_only(error)[-1]
    return Failed(FailureKind(kind), plain.text(text, LONGEST_MESSAGE))


def _sign() -> Alive:
    pulse = heartbeat.pulse()
    return Alive() if pulse is heartbeat.Pulse.MOVED else Alive(pulse, heartbeat.place())


class _Link(threading.Thread):
    """The child's end of the pipe: receives decisions, gives signs of life.

    When the supervisor is gone the pipe closes, and the process ends at once: no orphan trains on.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(name="link", daemon=True)
        self.decisions: queue.SimpleQueue[Decision] = queue.SimpleQueue()
        self._connection = connection
        self._sending = threading.Lock()

    def run(self) -> None:
        try:
            while True:
                if self._connection.poll(ALIVE_EVERY_S):
                    self.decisions.put(self._connection.recv())
                else:
                    self.send(_sign())
        except (EOFError, OSError):
            os._exit(1)

    def send(self, message: Message) -> None:
        """Send one message; ends the process if the supervisor is gone.

        Raises:
            TrainingBroken: If it is too long.
        """
        line = memoryview(encode(message))
        with self._sending:
            try:
                while line:
                    line = line[os.write(self._connection.fileno(), line) :]
            except OSError:
                os._exit(1)
