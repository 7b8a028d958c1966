"""Which slot a worker gets next."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import compress
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Row,
    Select,
    and_,
    bindparam,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from storage.engine import now_s
from storage.process_identity import ProcessIdentity
from storage.queue import attempts
from storage.queue.kinds import KindWatch
from storage.queue.leases import LEASE_S, Lease
from storage.queue.slots import Slot, any_slot, of_stage
from storage.queue.takeover import CANDIDATE, CANDIDATES, LeaseWatch, same_lease
from storage.readable import require_readable
from storage.states import SlotState, StageState, SweepState
from storage.tables import record_of, slots, stages, sweeps


@dataclass(frozen=True, kw_only=True)
class Claimant:
    """Who claims a slot."""

    worker: str
    owner: ProcessIdentity
    """The worker's process."""
    device_kind: str | None
    """What it trains on; None to take slots of any kind."""
    token: str
    """Of this claim; the same when it is repeated because no answer came."""

    @property
    def values(self) -> Mapping[str, Any]:
        """What is written into the slot (`_CLAIMED`)."""
        return {
            "by_worker": self.worker,
            "by_owner": vars(self.owner),
            "on_host": self.owner.machine,
            "for_s": LEASE_S,
            "of_claim": self.token,
        }

    def fits(self, device_kind: str | None) -> bool:
        """Whether a slot that was begun on a kind of device was begun on this worker's."""
        return None in (device_kind, self.device_kind) or device_kind == self.device_kind


def held(connection: Connection, claimant: Claimant) -> Lease | None:
    """Return the slot that this very claim took before, if it did and holds it still."""
    slot = connection.execute(_HELD, {"of_claim": claimant.token, "for_s": LEASE_S}).first()
    if slot is None:
        return None
    stage = connection.execute(_STAGE, {"of_stage": slot.stage_id}).one()
    return _lease(connection, claimant, slot, stage)


def claim(
    connection: Connection,
    claimant: Claimant,
    names: Collection[str],
    watch: LeaseWatch,
    kinds: KindWatch,
    *,
    without: Collection[int] = (),
) -> Lease | None:
    """Take a queued slot, or one whose worker is lost; those come first when the watch is due.

    Args:
        connection: In a transaction that writes.
        claimant: Who takes it.
        names: Sweeps to look at; all when empty.
        watch: Knows which workers are lost.
        kinds: Knows which slots no worker of their kind of device will take.
        without: Ids of slots that are left alone.

    Raises:
        RowUnreadable: If the slot cannot be read.
    """
    due = watch.due
    if not due and (lease := _claim_queued(connection, claimant, names, without)) is not None:
        return lease
    served = connection.execute(_served(any_sweep=not names), _named(names))
    found = {stage.stage_id: stage for stage in served}
    lost = watch.abandoned(connection, found.keys(), without)
    # A cancelled one is not trained any more, so that any worker can end it.
    cancelled = {one for one, stage in found.items() if stage.sweep_state is SweepState.CANCELLED}
    fits = [slot.stage_id in cancelled or claimant.fits(slot.device_kind) for slot in lost]
    lease = _take_first(connection, claimant, list(compress(lost, fits)), found)
    if lease is None and due:
        lease = _claim_queued(connection, claimant, names, without)
    if lease is not None or claimant.device_kind is None:
        return lease
    others = [slot for slot, one_fits in zip(lost, fits, strict=True) if not one_fits]
    others += _queued_of_other_kinds(connection, claimant, found.keys() - cancelled, without)
    given_up = kinds.given_up(connection, others)
    return _take_first(connection, claimant, [given_up] if given_up is not None else [], found)


def _claim_queued(
    connection: Connection,
    claimant: Claimant,
    names: Collection[str],
    without: Collection[int],
) -> Lease | None:
    """Take the first queued slot of the most urgent sweep, by priority and age."""
    any_kind = claimant.device_kind is None
    of: dict[str, Any] = {"without": list(without)}
    if not any_kind:
        of["of_kind"] = claimant.device_kind
    query = _with_queued(any_sweep=not names, any_kind=any_kind)
    for stage in connection.execute(query, of | _named(names)).all():
        values = {**of, **claimant.values, "of_stage": stage.stage_id}
        claimed = connection.execute(_claim_first(any_kind=any_kind), values).first()
        if claimed is not None:
            return _begin(connection, claimant, claimed, stage)
    return None


def _queued_of_other_kinds(
    connection: Connection,
    claimant: Claimant,
    of_stages: Collection[int],
    without: Collection[int],
) -> Sequence[Row[Any]]:
    """Read the queued slots of these stages that were begun on another kind of device."""
    of = {"of_stages": list(of_stages), "without": list(without), "of_kind": claimant.device_kind}
    return list(connection.execute(_OF_OTHER_KINDS, of))


def _take_first(
    connection: Connection,
    claimant: Claimant,
    candidates: Sequence[Row[Any]],
    of_stages: Mapping[int, Row[Any]],
) -> Lease | None:
    """Take the first of these slots that has not changed since it was read."""
    for slot in candidates:
        claimed = connection.execute(
            update(slots)
            .where(
                slots.c.id == slot.id,
                slots.c.attempt == slot.attempt,
                slots.c.state == slot.state,
                same_lease(slot),
            )
            .values(**_CLAIMED)
            .returning(*slots.c),
            claimant.values,
        ).first()
        if claimed is not None:
            return _begin(connection, claimant, claimed, of_stages[claimed.stage_id])
    return None


def _named(names: Collection[str]) -> dict[str, Any]:
    return {"of_names": list(names)} if names else {}


def _begin(connection: Connection, claimant: Claimant, slot: Row[Any], stage: Row[Any]) -> Lease:
    """Note the attempt that begins with the claim of a slot.

    Raises:
        RowUnreadable: If the slot or its stage cannot be read.
    """
    require_readable(stage)
    require_readable(slot)
    attempts.begin(connection, slot.id, slot.attempt, slot.worker)
    return _lease(connection, claimant, slot, stage)


def _lease(connection: Connection, claimant: Claimant, slot: Row[Any], stage: Row[Any]) -> Lease:
    of_slot = {name: value for name, value in stage._mapping.items() if name != "sweep_state"}
    first = slot.attempt == 1
    anew = not claimant.fits(slot.device_kind)
    since = 0 if first else attempts.last_retry(connection, slot.id)
    if slot.epochs_from is not None:
        since = max(since, slot.epochs_from - 1)
    return Lease(
        slot=record_of(Slot, slot, **of_slot),
        attempt=slot.attempt,
        worker=slot.worker,
        lost=0
        if first
        else attempts.count(connection, slot.id, [attempts.LOST], before=slot.attempt),
        since=slot.attempt - 1 if anew else since,
        device_kind=claimant.device_kind,
        anew=anew,
    )


_CLAIMED: Mapping[str, Any] = {
    "state": SlotState.RUNNING,
    "attempt": slots.c.attempt + 1,
    "worker": bindparam("by_worker"),
    "owner": bindparam("by_owner"),
    "owner_host": bindparam("on_host"),
    "lease_until": now_s() + bindparam("for_s", type_=Float),
    "claim": bindparam("of_claim"),
}
_HELD = (
    update(slots)
    .where(slots.c.claim == bindparam("of_claim"), slots.c.state == SlotState.RUNNING)
    .values(lease_until=now_s() + bindparam("for_s", type_=Float))
    .returning(*slots.c)
)
_STAGES = select(
    stages.c.id.label("stage_id"), sweeps.c.state.label("sweep_state"), *of_stage()
).join(sweeps, sweeps.c.id == stages.c.sweep_id)
_STAGE = _STAGES.where(stages.c.id == bindparam("of_stage"))
_LEFT_ALONE = slots.c.id.in_(bindparam("without", expanding=True))
_OF_OTHER_KINDS = (
    select(*CANDIDATE)
    .where(
        slots.c.stage_id.in_(bindparam("of_stages", expanding=True)),
        slots.c.state == SlotState.QUEUED,
        slots.c.device_kind != bindparam("of_kind"),
        ~_LEFT_ALONE,
    )
    .order_by(slots.c.stage_id, slots.c.ordinal)
    .limit(CANDIDATES)
)


def _open_stages(states: Collection[SweepState], *, any_sweep: bool) -> Select[Any]:
    """Select the open stages of sweeps in some states; of those named unless of any."""
    query = _STAGES.where(stages.c.state == StageState.OPEN, sweeps.c.state.in_(states))
    if any_sweep:
        return query
    return query.where(sweeps.c.name.in_(bindparam("of_names", expanding=True)))


@cache
def _served(*, any_sweep: bool) -> Select[Any]:
    return _open_stages([SweepState.ACTIVE, SweepState.CANCELLED], any_sweep=any_sweep)


def _queued(*, any_kind: bool) -> ColumnElement[bool]:
    """Return the condition that a slot waits, and was not begun on another kind of device."""
    fitting = or_(slots.c.device_kind.is_(None), slots.c.device_kind == bindparam("of_kind"))
    return and_(slots.c.state == SlotState.QUEUED, ~_LEFT_ALONE, true() if any_kind else fitting)


@cache
def _with_queued(*, any_sweep: bool, any_kind: bool) -> Select[Any]:
    """Select the stages with a slot to claim, the most urgent sweep's first."""
    return (
        _open_stages([SweepState.ACTIVE], any_sweep=any_sweep)
        .where(any_slot(_queued(any_kind=any_kind)).is_not(None))
        .order_by(sweeps.c.priority.desc(), stages.c.id)
    )


@cache
def _claim_first(*, any_kind: bool) -> ReturningUpdate[Any]:
    """Claim the first slot of the stage `of_stage` that waits."""
    queued = _queued(any_kind=any_kind)
    first = (
        select(slots.c.id)
        .where(slots.c.stage_id == bindparam("of_stage"), queued)
        .order_by(slots.c.ordinal)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    return (
        update(slots)
        .where(slots.c.id == first, queued)
        .values(started_at=func.coalesce(slots.c.started_at, now_s()), **_CLAIMED)
        .returning(*slots.c)
    )
