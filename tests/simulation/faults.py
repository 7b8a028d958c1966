"""What goes wrong, and when: at some of the moments at which a process speaks to the database."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from tests.simulation.world import Process, World


class FaultKind(StrEnum):
    """What may strike at a statement."""

    KILL = "kill"  # the process, by SIGKILL
    POWER = "power"  # every process of its machine
    STOP = "stop"  # the process, for a while
    LOST = "lost"  # its connection, and the transaction with it
    UNHEARD = "unheard"  # the answer to the next commit that wrote: it is done, and nobody knows
    AWAY = "away"  # the database, for a while
    STEP = "step"  # the wall clock
    FULL = "full"  # the disk, for a while


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong."""

    at: int
    """At which moment, counted over all processes."""
    aim: str = ""
    """What a transaction does; then `at` counts those that do it, and it strikes at their end."""
    early: bool = False
    """Whether it strikes just before that commit, not just after; what is `LOST` always does."""
    kind: FaultKind
    seconds: float = 0.0
    """How long it lasts, or how far the clock is set."""


@dataclass(frozen=True, kw_only=True)
class Deed:
    """One thing that a user does, or a cluster: it begins a process."""

    at: int
    aim: str = ""
    """As of a `Fault`."""
    early: bool = False
    """As of a `Fault`."""
    kind: str
    sweep: str = ""
    number: int = 0
    """What the kind needs: a priority, a worker."""


class Broken(Exception):
    """The database did not answer."""


class Faults:
    """Strikes the processes of a world.

    Args:
        world: The world.
        faults: What goes wrong.
        deeds: What users do meanwhile.
        act: Begins a deed.
    """

    def __init__(
        self,
        world: World,
        faults: Sequence[Fault],
        deeds: Sequence[Deed],
        act: Callable[[Deed], None],
    ) -> None:
        self._world = world
        self._faults = _latest_first([fault for fault in faults if not fault.aim])
        self._deeds = _latest_first([deed for deed in deeds if not deed.aim])
        self._aimed: list[Fault | Deed] = [one for one in (*faults, *deeds) if one.aim]
        self._done: Counter[str] = Counter()
        self._act = act
        self._unheard = False
        self.moments = 0
        """How many there were so far."""
        self._next = 0
        self.away_until = 0.0
        self.full_until = 0.0
        self.struck: set[FaultKind] = set()
        """The kinds that came to strike."""
        self._plan()

    @property
    def disk_is_full(self) -> bool:
        """Whether nothing can be written."""
        return self._world.now < self.full_until

    def calm(self) -> None:
        """Let nothing go wrong from now on."""
        self._faults, self._deeds, self._aimed, self._unheard = [], [], [], False
        self.away_until = self.full_until = 0.0
        self._plan()

    def act_now(self) -> bool:
        """Begin the next deed, for nobody is left who would come to its moment."""
        for one in self._aimed:
            if isinstance(one, Deed):
                self._aimed.remove(one)
                self._act(one)
                return True
        if not self._deeds:
            return False
        self._act(self._deeds.pop())
        self._plan()
        return True

    def moment(self, where: str) -> None:
        """Come to a moment at which something may go wrong.

        Raises:
            Broken: If the database does not answer.
        """
        self.moments += 1
        if self.moments >= self._next:
            self._come_to_pass(where)
        if self._world.now < self.away_until:
            raise Broken

    def done(self, what: Iterable[str], *, committed: bool) -> None:
        """Come to the end of a transaction: just before its commit, or just after.

        Args:
            what: The statements that it consists of.
            committed: Whether it is over.

        Raises:
            Broken: If the database does not answer.
        """
        if not self._aimed:
            return
        aims = {one.aim for one in self._aimed for text in what if text.startswith(one.aim)}
        if not committed:
            self._done.update(aims)
        # All of them leave the list before the first strikes: others take turns when it does.
        due = [one for one in self._aimed if one.aim in aims and self._due(one, committed)]
        due.sort(key=lambda one: isinstance(one, Fault))  # who was struck begins nothing
        self._aimed = [one for one in self._aimed if one not in due]
        for one in due:
            if isinstance(one, Deed):
                self._act(one)
            else:
                self._strike(one, f"the end of {one.aim}")

    def _due(self, one: "Fault | Deed", committed: bool) -> bool:
        early = one.early or one.kind == FaultKind.LOST
        return self._done[one.aim] > one.at and early is not committed

    def unheard(self) -> bool:
        """Whether the answer to this commit is lost."""
        lost, self._unheard = self._unheard, False
        return lost

    def _come_to_pass(self, where: str) -> None:
        while self._deeds and self._deeds[-1].at <= self.moments:
            self._act(self._deeds.pop())
        striking = []
        while self._faults and self._faults[-1].at <= self.moments:
            striking.append(self._faults.pop())
        self._plan()
        for fault in striking:
            self._strike(fault, where)

    def _plan(self) -> None:
        ahead = [found[-1].at for found in (self._faults, self._deeds) if found]
        self._next = min(ahead, default=2**62)

    def _strike(self, fault: Fault, where: str) -> None:
        world = self._world
        self.struck.add(fault.kind)
        world.note(f"{fault.kind} {fault.seconds:g} at {where}")
        process = world.current
        assert process is not None
        match fault.kind:
            case FaultKind.KILL:
                world.kill(process)
            case FaultKind.POWER:
                self._power_cut(process)
            case FaultKind.STOP:
                world.stop(process, fault.seconds)
            case FaultKind.LOST:
                raise Broken
            case FaultKind.UNHEARD if fault.aim:
                raise Broken
            case FaultKind.UNHEARD:
                self._unheard = True
            case FaultKind.AWAY:
                self.away_until = world.now + fault.seconds
            case FaultKind.STEP:
                world.wall_offset += fault.seconds
            case FaultKind.FULL:
                self.full_until = world.now + fault.seconds

    def _power_cut(self, struck: Process) -> None:
        for process in self._world.processes:
            if process.machine == struck.machine and process is not struck:
                self._world.kill(process)
        self._world.kill(struck)


Timed = TypeVar("Timed", Fault, Deed)


def _latest_first(things: list[Timed]) -> list[Timed]:
    return sorted(things, key=lambda thing: thing.at, reverse=True)
