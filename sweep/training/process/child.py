"""A training process, seen from its supervisor. Importing this loads no torch."""

import atexit
import contextlib
import signal
import time
import weakref
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Self

from sweep.training.contract import Decision, FailureKind, TrialJob
from sweep.training.process import child_main
from sweep.training.process.forkserver import fork_context
from sweep.training.process.messages import Completed, Failed, Message, Stopped, Unable

_END_WITHIN_S = 10.0
"""A process that closed its pipe has ended, or is ended, by then."""

_living: "weakref.WeakSet[ChildProcess]" = weakref.WeakSet()


class ChildProcess:
    """One training in its own process.

    `receive` hands out its messages; every `EpochDone` wants an `answer`. After a final message
    (`Completed`, `Stopped`, `Failed`, `Unable`) the process is gone or about to go. Use it from one
    thread.
    """

    def __init__(self, job: TrialJob, process: BaseProcess, connection: Connection) -> None:
        self.job = job
        self.pid = process.pid or 0
        self.last_sign_of_life = time.monotonic()
        """When the last message came, on `time.monotonic`'s clock."""
        self._process = process
        self._connection = connection
        _living.add(self)

    @classmethod
    def start(cls, job: TrialJob) -> Self:
        """Start a process that trains `job`; the first one waits for the fork server, about 4 s."""
        with fork_context(job.trainer) as context:
            ours, theirs = context.Pipe()
            try:
                process = context.Process(
                    target=child_main.run, args=(theirs, job), name=f"slot {job.slot}"
                )
                process.start()
            except BaseException:
                ours.close()
                raise
            finally:
                theirs.close()  # else our end would not see the child go
        return cls(job, process, ours)

    @property
    def exitcode(self) -> int | None:
        """None while it runs; -N if signal N ended it."""
        return self._process.exitcode

    def receive(self, timeout_s: float) -> Message | None:
        """Return the next message, or None if none came in time.

        A process that died without a final word yields `Failed(CRASHED, …)`.
        """
        if not wait([self._connection, self._process.sentinel], timeout_s):
            return None
        try:
            # What was sent before the end comes first.
            message: Message | None = self._connection.recv() if self._connection.poll() else None
        except (EOFError, OSError):
            message = None
        if message is None:
            message = self._obituary()
        self.last_sign_of_life = time.monotonic()
        if isinstance(message, Completed | Stopped | Failed | Unable):
            self._end(grace_s=_END_WITHIN_S)
        return message

    def answer(self, decision: Decision) -> None:
        """Answer an `EpochDone`. If the process has died meanwhile, `receive` will tell."""
        with contextlib.suppress(OSError):
            self._connection.send(decision)

    def kill(self) -> None:
        """End the process at once and wait until it is gone. Harmless if it is already."""
        self._end(grace_s=0)

    def _end(self, *, grace_s: float) -> None:
        self._process.join(grace_s)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join(_END_WITHIN_S)
        self._connection.close()
        _living.discard(self)

    def _obituary(self) -> Failed:
        self._process.join(_END_WITHIN_S)
        code = self._process.exitcode
        if code is None:
            how = "closed its pipe"
        elif code < 0:
            how = f"died with signal {-code} ({signal.Signals(-code).name})"
        else:
            how = f"ended with exit code {code}"
        if code == -signal.SIGKILL:
            how += (
                "; the kernel kills so when memory runs out: try a smaller batch or fewer workers"
            )
        return Failed(FailureKind.CRASHED, f"the training process {how}")


@atexit.register
def _kill_all() -> None:
    """Leave no training behind: multiprocessing would wait for it at exit, for ever."""
    for process in list(_living):
        process.kill()
