"""A virtual clock, and processes that take turns on it in an order that a seed decides."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from greenlet import GreenletExit, getcurrent, greenlet

EPOCH_S = 1_800_000_000.0
"""What the wall clock shows when a world begins: seconds since 1970-01-01 UTC."""
TICK_S = 0.001
"""How far a turn moves the clock, so that no two things happen at once."""


class Restless(Exception):
    """The world did not come to rest within the bounds that it was given."""


class How(StrEnum):
    """How a process ended."""

    RUNNING = "running"
    RETURNED = "returned"
    RAISED = "raised"
    KILLED = "killed"


@dataclass(kw_only=True, eq=False)
class Process:
    """One virtual process."""

    name: str
    machine: str
    """Whose process ids can be told apart; a container has its own."""
    pid: int
    body: Callable[[], None]
    thread: greenlet | None = None
    wake_at: float | None = 0.0
    """When it goes on, in the world's seconds; None while it waits to be woken."""
    how: How = How.RUNNING
    error: BaseException | None = None
    disturbed: bool = False
    """Whether it was killed or stopped, so that its leases may have run out."""
    at_end: list[Callable[[], None]] = field(default_factory=list)
    """What the kernel does when it ends: locks are freed, connections closed."""

    @property
    def gone(self) -> bool:
        """Whether it has ended."""
        return self.how is not How.RUNNING


class World:
    """The clock and the processes.

    Args:
        turns: Decides who goes on next.
        most_turns: So many turns at most; a world that takes more is restless.
    """

    def __init__(self, turns: random.Random, *, most_turns: int) -> None:
        self.now = 1000.0
        """Seconds of the monotonic clock."""
        self.wall_offset = EPOCH_S - self.now
        self.processes: list[Process] = []
        self.current: Process | None = None
        self.log: list[tuple[float, str, str]] = []
        """All that happened: when, to whom, what."""
        self.deadline = float("inf")
        """When everything has to have come to rest."""
        self._turns = turns
        self._left = most_turns
        self._main = getcurrent()

    @property
    def wall_s(self) -> float:
        """What the wall clock shows."""
        return self.now + self.wall_offset

    def note(self, what: str) -> None:
        """Write into the log what happens to the current process."""
        self.log.append((round(self.now, 3), self.current.name if self.current else "", what))

    def start(self, name: str, body: Callable[[], None], *, machine: str) -> Process:
        """Let a new process begin."""
        process = Process(
            name=name,
            machine=machine,
            pid=100 + len(self.processes),
            body=body,
            wake_at=self.now,
        )
        process.thread = greenlet(lambda: self._live(process), parent=self._main)
        self.processes.append(process)
        return process

    def _live(self, process: Process) -> None:
        try:
            process.body()
        except GreenletExit:
            return
        except BaseException as error:
            self._end(process, How.RAISED, error)
        else:
            self._end(process, How.RETURNED)

    def _end(self, process: Process, how: How, error: BaseException | None = None) -> None:
        if process.gone:
            return
        process.how, process.error = how, error
        self.note(f"{process.name} {how}{f': {error!r}' if error else ''}")
        for closing in process.at_end:
            closing()

    def run(self) -> None:
        """Let all processes go on until each has ended or waits for ever.

        Raises:
            Restless: If that takes too many turns or too long.
        """
        while True:
            living = [p for p in self.processes if not p.gone and p.wake_at is not None]
            if not living:
                return
            ready = [p for p in living if p.wake_at is not None and p.wake_at <= self.now]
            if not ready:
                self.now = min(p.wake_at for p in living if p.wake_at is not None)
                continue
            self._left -= 1
            if self._left < 0 or self.now > self.deadline:
                raise Restless(f"at {self.now:.0f} s: {', '.join(p.name for p in living)}")
            self.now += TICK_S
            self._go_on(ready[int(self._turns.random() * len(ready))])

    def _go_on(self, process: Process) -> None:
        if process.thread is None:
            raise RuntimeError(f"{process.name} was never started")
        self.current = process
        try:
            process.thread.switch()
        finally:
            self.current = None

    def sleep(self, seconds: float) -> None:
        """Let the current process go on so much later; others go on meanwhile."""
        self.wait_until(self.now + seconds)

    def turn(self) -> None:
        """Let whoever is ready go on, perhaps the current process itself."""
        self.wait_until(self.now)

    def wait_until(self, moment: float | None) -> None:
        """Let the current process go on at a moment; None: when another wakes it."""
        process = self._alive()
        process.wake_at = moment
        self._main.switch()
        self._alive()

    def wake(self, process: Process) -> None:
        """Let a process that waits go on."""
        process.wake_at = self.now

    def kill(self, process: Process) -> None:
        """End a process as SIGKILL does: nothing of it runs any more, its `finally` included."""
        if process.gone:
            return
        process.disturbed = True
        self._end(process, How.KILLED)
        if process is self.current:
            self._main.switch()
            raise GreenletExit

    def stop(self, process: Process, seconds: float) -> None:
        """Stop a process for a while, as SIGSTOP does."""
        process.disturbed = True
        process.wake_at = self.now + seconds
        if process is self.current:
            self._main.switch()
            self._alive()

    def clear(self) -> None:
        """Unwind what is left of all processes; they reach nothing any more."""
        for process in self.processes:
            if process.how is How.RUNNING:
                process.how = How.KILLED
        for process in self.processes:
            self.current = process
            if process.thread is not None and process.thread:
                process.thread.throw(GreenletExit)
        self.current = None

    def _alive(self) -> Process:
        """Return the current process; what is unwound after a kill goes no further."""
        process = self.current
        if process is None:
            raise RuntimeError("no process is at work")
        if process.gone:
            raise GreenletExit
        return process
