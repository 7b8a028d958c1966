"""Which running slots have lost their worker."""

import time
from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, func, not_, or_, select, true

from storage.engine import now_s
from storage.process_identity import ProcessIdentity
from storage.readable import Unreadable
from storage.states import SlotState
from storage.tables import slots

_YEARS_S = 1e8
CANDIDATES = 200
"""So many slots are looked at, at most."""
CANDIDATE = (
    *(slots.c.id, slots.c.attempt, slots.c.state, slots.c.stage_id),
    *(slots.c.device_kind, slots.c.lease_until),
)
"""What is read of a slot to decide on it, and to take it if it has not changed."""


class LeaseWatch:
    """Tells a lost worker from one that is only late.

    Every lease looks expired after an outage or a laptop's sleep. So a slot counts as abandoned
    only when this process saw the same (attempt, expiry) expired `grace_s` ago, or at once when its
    owner is provably dead on this host.

    Args:
        grace_s: For how long an expired lease must have been seen so, in seconds.
        clock: Monotonic seconds, which stand still while this computer sleeps.
    """

    def __init__(self, grace_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._grace_s = grace_s
        self._clock = clock
        self._expired_since: dict[tuple[int, int, Any], float] = {}
        self._looked: float | None = None

    @property
    def due(self) -> bool:
        """Whether this process has not looked for `grace_s`, or never."""
        return self._looked is None or self._clock() - self._looked >= self._grace_s

    def abandoned(
        self, connection: Connection, stages: Collection[int], without: Collection[int] = ()
    ) -> list[Row[Any]]:
        """Find the slots of these stages to take over (`CANDIDATE`), the first expired first.

        Args:
            connection: In a transaction.
            stages: Ids of the stages.
            without: Ids of slots that are left alone.
        """
        self._looked = self._clock()
        here = ProcessIdentity.current().machine
        of = {"of_stages": list(stages), "without": list(without), "on_host": here}
        running = connection.execute(_RUNNING, of).all()
        now = self._clock()
        self._expired_since = {
            lease: self._expired_since.get(lease, now)
            for lease in (_lease(row) for row in running if row.expired)
        }
        return [row for row in running if self._gone(row)]

    def _gone(self, row: Row[Any]) -> bool:
        if provably_dead(row.owner):
            return True
        return row.expired and self._clock() - self._expired_since[_lease(row)] >= self._grace_s


def same_lease(found: Row[Any]) -> ColumnElement[bool]:
    """Return the condition that a slot's lease was not renewed since."""
    if isinstance(found.lease_until, Unreadable):
        return true()  # it never was
    return slots.c.lease_until.is_not_distinct_from(found.lease_until)


def provably_dead(owner: Any) -> bool:
    """Whether the process that a slot names as its owner is dead; False where it names none."""
    try:
        return ProcessIdentity(**owner).provably_dead()
    except (TypeError, ValueError, OverflowError):  # nobody of us wrote it
        return False


def _lease(row: Row[Any]) -> tuple[int, int, Any]:
    return row.id, row.attempt, row.lease_until


_HOLDS = slots.c.lease_until.between(now_s(), now_s() + _YEARS_S)
"""Nobody gave a lease that is none, or one that holds for years: it runs out as others do."""
_EXPIRED = func.coalesce(not_(_HOLDS), true()).label("expired")
_RUNNING = (
    select(*CANDIDATE, slots.c.owner, _EXPIRED)
    .where(
        slots.c.stage_id.in_(bindparam("of_stages", expanding=True)),
        slots.c.state == SlotState.RUNNING,
        slots.c.id.not_in(bindparam("without", expanding=True)),
        or_(_EXPIRED, slots.c.owner_host == bindparam("on_host")),
    )
    .order_by(slots.c.lease_until)
    .limit(CANDIDATES)
)
