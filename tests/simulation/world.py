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
    """One virtual process, or a thread of one."""

    name: str
    machine: str
    """Whose process ids can be told apart; a container has its own."""
    pid: int
    body: Callable[[], None]
    of: "Process | None" = None
    """Whose thread it is, if it is one: it ends with that, however that ends."""
    threads: "list[Process]" = field(default_factory=list)
    thread: greenlet | None = None
    wake_at: float | None = 0.0
    """When it goes on, in the world's seconds; None while it waits to be woken."""
    stopped_until: float = 0.0
    """It goes on no earlier, whatever wakes it."""
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

    @property
    def main(self) -> "Process":
        """The process whose thread this is, or itself."""
        return self if self.of is None else self.of

    @property
    def goes_on_at(self) -> float:
        """When it goes on, unless another wakes it before."""
        return float("inf") if self.wake_at is None else max(self.wake_at, self.stopped_until)


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
        return self._begin(process)

    def start_thread(self, name: str, body: Callable[[], None]) -> Process:
        """Let a thread of the current process begin."""
        main = self._alive().main
        thread = Process(
            name=f"{main.name} {name}",
            machine=main.machine,
            pid=main.pid,
            body=body,
            of=main,
            wake_at=self.now,
        )
        main.threads.append(thread)
        return self._begin(thread)

    def _begin(self, process: Process) -> Process:
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
        if process.of is None or error is not None:
            self.note(f"{process.name} {how}{f': {error!r}' if error else ''}")
        for closing in process.at_end:
            closing()
        for thread in process.threads:
            self._end(thread, How.KILLED)

    def run(self) -> None:
        """Let all processes go on until each has ended or waits for ever.

        Raises:
            Restless: If that takes too many turns or too long.
        """
        while True:
            living = [p for p in self.processes if not p.gone and p.wake_at is not None]
            if not living:
                return
            ready = [p for p in living if p.goes_on_at <= self.now]
            if not ready:
                self.now = min(p.goes_on_at for p in living)
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
        process = process.main
        if process.gone:
            return
        process.disturbed = True
        self._end(process, How.KILLED)
        if self.current is not None and self.current.main is process:
            self._main.switch()
            raise GreenletExit

    def stop(self, process: Process, seconds: float) -> None:
        """Stop a process with its threads for a while, as SIGSTOP does."""
        process = process.main
        process.disturbed = True
        for one in (process, *process.threads):
            one.stopped_until = max(one.stopped_until, self.now + seconds)
        if self.current is not None and self.current.main is process:
            self.turn()

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
