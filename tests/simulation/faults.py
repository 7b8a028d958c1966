"""What goes wrong, and when: at some of the moments at which a process speaks to the database."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

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
    kind: FaultKind
    seconds: float = 0.0
    """How long it lasts, or how far the clock is set."""


@dataclass(frozen=True, kw_only=True)
class Deed:
    """One thing that a user does, or a cluster: it begins a process."""

    at: int
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
        self._faults = sorted(faults, key=lambda fault: fault.at, reverse=True)
        self._deeds = sorted(deeds, key=lambda deed: deed.at, reverse=True)
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
        self._faults, self._deeds, self._unheard = [], [], False
        self.away_until = self.full_until = 0.0
        self._plan()

    def act_now(self) -> bool:
        """Begin the next deed, for nobody is left who would come to its moment."""
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
