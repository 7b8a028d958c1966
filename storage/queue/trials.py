"""Which Optuna trial belongs to which slot."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, bindparam, exists, not_, select, update

from storage.engine import reading, writing
from storage.errors import RowUnreadable
from storage.queue.attempts import RETRIED
from storage.queue.slots import Slot
from storage.states import SlotState
from storage.tables import attempts, record_of, slots, stages, sweeps

_SETTLED = (SlotState.COMPLETE, SlotState.PRUNED, SlotState.FAILED, SlotState.CANCELLED)
"""Nobody goes on from a slot in these states."""


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A slot for which a trial was made."""

    id: int
    trial_id: int
    trial_number: int
    label: str | None
    params: Mapping[str, Any] | None
    state: SlotState
    started_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Lacking:
    """A slot that has had no trial yet."""

    id: int
    label: str | None
    params: Mapping[str, Any] | None


def without_trial(connection: Connection, last: Slot) -> list[Lacking]:
    """List the slots of a stage, up to one, that wait for their first trial, in their order.

    Others give them none until the transaction ends. Slots that begin anew are not among them: the
    next trial of theirs takes the place of one.
    """
    of = {"of_stage": last.stage_id, "to_ordinal": last.ordinal}
    connection.execute(_LOCK_STAGE, of)
    found = []
    for row in connection.execute(_WITHOUT_TRIAL, of):
        with suppress(RowUnreadable):
            found.append(record_of(Lacking, row))
    return found


def give_trial(connection: Connection, slot_id: int, trial_id: int, number: int) -> None:
    """Note the trial that was made for a slot in this transaction."""
    connection.execute(_GIVE, {"of_slot": slot_id, "with_id": trial_id, "with_number": number})


def trial_of(connection: Connection, slot_id: int) -> tuple[int, int] | None:
    """Return id and number of a slot's trial; None where it has none."""
    row = connection.execute(_TRIAL, {"of_slot": slot_id}).first()
    if row is None or not isinstance(row.trial_id, int) or not isinstance(row.trial_number, int):
        return None
    return row.trial_id, row.trial_number


def begun(engine: Engine, stage_id: int) -> list[Begun]:
    """List a stage's slots that have a trial, in their order; but those that cannot be read.

    And but those that nobody has claimed yet: whoever does makes a trial that is gone again.
    """
    unclaimed = and_(slots.c.state == SlotState.QUEUED, slots.c.attempt == 0)
    with reading(engine) as connection:
        rows = connection.execute(
            select(slots)
            .where(slots.c.stage_id == stage_id, slots.c.trial_number.is_not(None), not_(unclaimed))
            .order_by(slots.c.trial_number)
        )
        found = []
        for row in rows:
            with suppress(RowUnreadable):
                found.append(record_of(Begun, row))
        return found


def settled_attempts(engine: Engine, sweep: str) -> dict[int, int]:
    """Return the last attempt of each slot of a sweep that is settled and closed, by slot id."""
    with reading(engine) as connection:
        rows = connection.execute(
            select(slots.c.id, slots.c.attempt)
            .join(stages, stages.c.id == slots.c.stage_id)
            .join(sweeps, sweeps.c.id == stages.c.sweep_id)
            .where(
                sweeps.c.name == sweep,
                slots.c.state.in_(_SETTLED),
                slots.c.attempt > 0,
                slots.c.unprojected.is_(False),
            )
        )
        return {row.id: row.attempt for row in rows}


def is_settled(engine: Engine, slot_id: int) -> bool:
    """Whether a slot has come to its end, so that nobody goes on from what its attempts left."""
    query = select(slots.c.id).where(slots.c.id == slot_id, slots.c.state.in_(_SETTLED))
    with reading(engine) as connection:
        return connection.execute(query).first() is not None


def replace_trial(engine: Engine, slot: Begun, *, trial_id: int, number: int) -> bool:
    """Give a slot another trial; False if it has another already.

    Optuna is to be told again how a settled one ended, by whoever comes first.
    """
    values: dict[str, Any] = {"trial_id": trial_id, "trial_number": number}
    if slot.state.final:
        values |= {"unprojected": True, "owner": None, "owner_host": None, "lease_until": None}
    with writing(engine) as connection:
        replaced = connection.execute(
            update(slots)
            .where(
                slots.c.id == slot.id,
                slots.c.trial_id == slot.trial_id,
                slots.c.trial_number == slot.trial_number,
                slots.c.state == slot.state,
            )
            .values(**values)
        )
    return replaced.rowcount > 0


_THIS = slots.c.id == bindparam("of_slot")
_TRIAL = select(slots.c.trial_id, slots.c.trial_number).where(_THIS)
_GIVE = (
    update(slots)
    .where(_THIS)
    .values(trial_id=bindparam("with_id"), trial_number=bindparam("with_number"))
)
_LOCK_STAGE = select(stages.c.id).where(stages.c.id == bindparam("of_stage")).with_for_update()
_WITHOUT_TRIAL = (
    select(slots)
    .where(
        slots.c.stage_id == bindparam("of_stage"),
        slots.c.ordinal <= bindparam("to_ordinal"),
        slots.c.trial_id.is_(None),
        slots.c.state.in_([SlotState.QUEUED, SlotState.RUNNING]),
        slots.c.epochs_from.is_(None),
        ~exists().where(attempts.c.slot_id == slots.c.id, attempts.c.ending == RETRIED),
    )
    .order_by(slots.c.ordinal)
)
