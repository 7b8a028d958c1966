"""A training process, seen from its supervisor. Importing this loads no torch."""

import atexit
import contextlib
import os
import signal
import time
import weakref
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Self

from sweep.training.contract import (
    Decision,
    FailureKind,
    TrainingBroken,
    TrainingFailed,
    TrialJob,
)
from sweep.training.process import child_main
from sweep.training.process.door import Door
from sweep.training.process.forkserver import fork_context, parent_pid
from sweep.training.process.heartbeat import Pulse
from sweep.training.process.messages import (
    Alive,
    Completed,
    EpochDone,
    Failed,
    Message,
    Stopped,
    Unable,
)
from sweep.training.process.plain import text
from sweep.training.process.wire import LONGEST_LINE, LONGEST_MESSAGE, decode

_END_WITHIN_S = 10.0
"""A process that closed its pipe has ended, or is ended, by then."""
_TELL_WITHIN_S = 1.0

_PART = 65_536
"""So many bytes are read at once."""

_living: "weakref.WeakSet[ChildProcess]" = weakref.WeakSet()


class ChildProcess:
    """One training in its own process.

    `receive` hands out its messages, checked; every `EpochDone` wants an `answer`. After a final
    message (`Completed`, `Stopped`, `Failed`, `Unable`) the process is gone or about to go. Use it
    from one thread.
    """

    def __init__(self, job: TrialJob, process: BaseProcess, connection: Connection) -> None:
        self.job = job
        self.pid = process.pid or 0
        self.silent_s = 0.0
        """How long `receive` has waited without a sign that the training moves on, or may do so.
        Neither a supervisor that was stopped nor one that was busy elsewhere counts."""
        self.unseen_s = 0.0
        """For how long the process has said that nobody sees whether its training moves on."""
        self.place = ""
        """Where the training was when it last said that it did not move."""
        self._process = process
        self._connection = connection
        self._unread = bytearray()
        """What came of messages that are not whole."""
        self._door = Door(job)
        self._told = Decision.CONTINUE
        _living.add(self)

    @classmethod
    def start(cls, job: TrialJob) -> Self:
        """Start a process that trains `job`; the first one waits for the fork server, about 4 s."""
        with fork_context(job.trainer) as context:
            ours, theirs = context.Pipe()
            try:
                process = context.Process(
                    target=child_main.run,
                    args=(theirs, job, parent_pid()),
                    name=f"slot {job.slot}",
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

        A process that died without a final word yields `Failed(CRASHED, …)`, and so does one that
        says what it may not; that one is ended. Half a message is no sign of life.
        """
        began = time.monotonic()
        message = self._next(timeout_s)
        if message is None:
            self._count_silence(began, timeout_s)
            return None
        if isinstance(message, Alive):
            self.place = message.place
            if message.pulse is Pulse.STILL:
                self._count_silence(began, timeout_s)
                return None
        unseen = isinstance(message, Alive) and message.pulse is Pulse.UNSEEN
        self.unseen_s = self.unseen_s + child_main.ALIVE_EVERY_S if unseen else 0.0
        self.silent_s = 0.0
        if isinstance(message, Completed | Stopped | Failed | Unable):
            self._end(grace_s=_END_WITHIN_S)
        return message

    def _next(self, timeout_s: float) -> Message | None:
        line = self._line(timeout_s)
        if line is None:
            return None
        if not line:
            return self._obituary()
        try:
            return self._heeded(decode(line, self._door))
        except (TrainingBroken, TrainingFailed) as error:
            self._process.kill()
            kind = error.kind if isinstance(error, TrainingFailed) else FailureKind.CRASHED
            return Failed(kind, text(str(error), LONGEST_MESSAGE))

    def _line(self, timeout_s: float) -> bytes | None:
        """Return the next message as it came; empty after the last one, None if none came in time.

        Reads what is there and no more: a process that stopped within a message holds nobody.
        """
        until = time.monotonic() + timeout_s
        while (end := self._unread.find(b"\n") + 1) == 0 and len(self._unread) <= LONGEST_LINE:
            ready = wait(
                [self._connection, self._process.sentinel], max(0.0, until - time.monotonic())
            )
            if not ready:
                return None
            if self._connection not in ready:  # what was sent before the end came first
                return b""
            try:
                part = os.read(self._connection.fileno(), _PART)
            except OSError:
                part = b""
            if not part:
                return b""
            self._unread += part
        line = bytes(self._unread[: end or LONGEST_LINE])
        del self._unread[: len(line)]
        return line

    def _heeded(self, message: Message) -> Message:
        """Return a message as it counts after what the training was told before."""
        if self._told is not Decision.CONTINUE and isinstance(message, EpochDone | Completed):
            self._process.kill()  # it did not obey
            return Stopped(self._told)
        if isinstance(message, Stopped) and message.decision is not self._told:
            return Failed(
                FailureKind.CRASHED,
                f"the training stopped with {message.decision}, told was {self._told}",
            )
        return message

    def _count_silence(self, began: float, timeout_s: float) -> None:
        self.silent_s += min(time.monotonic() - began, 2 * timeout_s)

    def tell_place(self) -> str:
        """Have the process write its stacks to its log; return where its training was last seen."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, child_main.TELL_SIGNAL)
        self._process.join(_TELL_WITHIN_S)  # time to write them, or it ends by the signal
        return self.place

    def answer(self, decision: Decision) -> None:
        """Answer an `EpochDone`. If the process has died meanwhile, `receive` will tell."""
        self._told = decision
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
