"""The stages of a sweep: opened when their turn comes, done when their last slot is closed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    and_,
    bindparam,
    exists,
    func,
    insert,
    select,
    update,
)

from storage.engine import reading, writing
from storage.errors import SweepExists
from storage.queue.locks import lock_sweep
from storage.queue.slots import any_slot
from storage.states import SlotState, StageState, SweepState
from storage.tables import record_of, slots, stages, sweeps


@dataclass(frozen=True, kw_only=True)
class NewSlot:
    """A slot to be filled in."""

    params: Mapping[str, Any] | None = None
    """None when a sampler is to choose them at the claim."""
    label: str | None = None


@dataclass(frozen=True, kw_only=True)
class NewStage:
    """A stage to be made; without slots it waits for the stages before it."""

    name: str
    study: str
    epochs: int
    slots: Sequence[NewSlot] | None = None


def insert_stage(connection: Connection, sweep_id: int, stage: NewStage) -> None:
    """Append a stage to a sweep, with its slots."""
    position = (
        select(func.coalesce(func.max(stages.c.position) + 1, 0))
        .where(stages.c.sweep_id == sweep_id)
        .scalar_subquery()
    )
    stage_id = connection.execute(
        insert(stages)
        .values(
            sweep_id=sweep_id,
            position=position,
            name=stage.name,
            study=stage.study,
            epochs=stage.epochs,
            state=StageState.WAITING if stage.slots is None else StageState.OPEN,
        )
        .returning(stages.c.id)
    ).scalar_one()
    _fill(connection, stage_id, stage.slots or ())


def is_there(connection: Connection, sweep_id: int, stage: NewStage) -> bool:
    """Whether a sweep has this stage already.

    Raises:
        SweepExists: If it has another of this name.
    """
    row = connection.execute(
        select(stages).where(stages.c.sweep_id == sweep_id, stages.c.name == stage.name)
    ).first()
    if row is None:
        return False
    there = record_of(NewStage, row, slots=stage.slots)
    if stage.slots is not None:  # without, those that it has were planned since
        made = connection.execute(
            select(slots).where(slots.c.stage_id == row.id).order_by(slots.c.ordinal)
        )
        there = replace(there, slots=[record_of(NewSlot, slot) for slot in made])
    if there != stage:
        raise SweepExists(f"the sweep has another stage {stage.name!r} already")
    return True


@dataclass(frozen=True, kw_only=True)
class WaitingStage:
    """A stage whose predecessors are all done, so that its slots can be planned."""

    id: int
    name: str
    study: str
    epochs: int


def finish_stages(engine: Engine, sweep: str) -> WaitingStage | None:
    """Mark what is done as done: stages whose every slot is closed, then the sweep.

    Returns:
        The next stage to open (`open_stage`), or None when none is ready. A cancelled sweep's
        stages that wait do so for good.
    """
    if not _may_finish(engine, sweep):
        return None
    with writing(engine) as connection:
        sweep_id = connection.execute(_ID, {"of_name": sweep}).scalar_one_or_none()
        if sweep_id is None:
            return None
        state = lock_sweep(connection, sweep_id)
        of = {"of_sweep": sweep_id}
        connection.execute(_FINISH_STAGES, of)
        connection.execute(_FINISH_SWEEP, of)
        following = connection.execute(_FOLLOWING, of).first()
    if following is None or following.state != StageState.WAITING:
        return None
    if state in (SweepState.CANCELLED, SweepState.DELETING):
        return None
    return record_of(WaitingStage, following)


def _may_finish(engine: Engine, sweep: str) -> bool:
    """Whether there may be something to mark or to open; idle workers look often, and only read."""
    with reading(engine) as connection:
        left = connection.execute(_LEFT, {"of_name": sweep}).all()
    first_waits = bool(left) and left[0].state == StageState.WAITING
    return not left or first_waits or any(stage.closed for stage in left)


def unfinished_stages(engine: Engine, sweep: str) -> list[str]:
    """List the names of a sweep's stages that are not done, in order."""
    with reading(engine) as connection:
        return list(connection.execute(_UNFINISHED, {"of_name": sweep}).scalars())


def begun_stages(engine: Engine, sweep: str) -> list[tuple[int, str, str]]:
    """List a sweep's stages with slots for which a trial was made: id, name and study."""
    with reading(engine) as connection:
        rows = connection.execute(_BEGUN, {"of_name": sweep}).all()
    return [(row.id, row.name, row.study) for row in rows]


def open_stages(engine: Engine, sweep: str) -> list[tuple[int, str]]:
    """List a sweep's open stages: id and study."""
    with reading(engine) as connection:
        rows = connection.execute(_OPEN, {"of_name": sweep}).all()
    return [(row.id, row.study) for row in rows]


def all_closed(engine: Engine, stage_id: int) -> bool:
    """Whether every slot of a stage is final and Optuna was told of it."""
    with reading(engine) as connection:
        return connection.execute(_CLOSED, {"of_stage": stage_id}).first() is not None


def trial_numbers(engine: Engine, stage_id: int) -> dict[int, int | None]:
    """Return the trial number of each of a stage's slots, None without a trial, by slot id."""
    with reading(engine) as connection:
        rows = connection.execute(
            select(slots.c.id, slots.c.trial_number).where(slots.c.stage_id == stage_id)
        ).all()
    return {
        row.id: row.trial_number
        for row in rows
        if row.trial_number is None or isinstance(row.trial_number, int)
    }


def settings_of(engine: Engine, stage_id: int) -> list[Mapping[str, Any]]:
    """List the settings of a stage's slots, in order."""
    with reading(engine) as connection:
        found = connection.execute(
            select(slots.c.params).where(slots.c.stage_id == stage_id).order_by(slots.c.ordinal)
        ).scalars()
        return [params if isinstance(params, dict) else {} for params in found]


def open_stage(engine: Engine, stage_id: int, new: Sequence[NewSlot]) -> bool:
    """Fill a waiting stage and open it.

    Returns:
        False when another process did so before, or the sweep was cancelled or deleted meanwhile.
    """
    of_stage = select(stages.c.sweep_id).where(stages.c.id == stage_id)
    with writing(engine) as connection:
        sweep_id = connection.execute(of_stage).scalar_one_or_none()
        if sweep_id is None:
            return False
        if lock_sweep(connection, sweep_id) in (SweepState.CANCELLED, SweepState.DELETING):
            return False
        opened = connection.execute(
            update(stages)
            .where(stages.c.id == stage_id, stages.c.state == StageState.WAITING)
            .values(state=StageState.OPEN)
        )
        if opened.rowcount == 0:
            return False
        _fill(connection, stage_id, new)
        return True


def _fill(connection: Connection, stage_id: int, new: Sequence[NewSlot]) -> None:
    if not new:
        return
    connection.execute(
        insert(slots).values(stage_id=stage_id, state=SlotState.QUEUED),
        [{"ordinal": ordinal, **vars(slot)} for ordinal, slot in enumerate(new)],
    )


_NOTHING_LEFT = tuple(
    any_slot(condition).is_(None)
    for condition in (
        slots.c.state == SlotState.QUEUED,
        slots.c.state == SlotState.RUNNING,
        slots.c.unprojected,
    )
)
"""Conditions on a stage: no slot is left to do, and Optuna was told of every one."""
_OF_SWEEP = stages.c.sweep_id == bindparam("of_sweep")
_NOT_DONE = stages.c.state != StageState.DONE


def _of_sweep(*columns: ColumnElement[Any]) -> Select[Any]:
    """Select columns of the stages of the sweep `of_name`."""
    joined = select(*columns).join_from(stages, sweeps, sweeps.c.id == stages.c.sweep_id)
    return joined.where(sweeps.c.name == bindparam("of_name"))


_ID = select(sweeps.c.id).where(sweeps.c.name == bindparam("of_name"))
_FINISH_STAGES = (
    update(stages)
    .where(_OF_SWEEP, stages.c.state == StageState.OPEN, *_NOTHING_LEFT)
    .values(state=StageState.DONE)
)
_FINISH_SWEEP = (
    update(sweeps)
    .where(
        sweeps.c.id == bindparam("of_sweep"),
        sweeps.c.state == SweepState.ACTIVE,
        ~exists().where(stages.c.sweep_id == sweeps.c.id, _NOT_DONE),
    )
    .values(state=SweepState.DONE)
)
_FOLLOWING = select(stages).where(_OF_SWEEP, _NOT_DONE).order_by(stages.c.position).limit(1)
_LEFT = (
    _of_sweep(stages.c.state, and_(*_NOTHING_LEFT).label("closed"))
    .where(_NOT_DONE)
    .order_by(stages.c.position)
)
_UNFINISHED = _of_sweep(stages.c.name).where(_NOT_DONE).order_by(stages.c.position)
_OPEN = _of_sweep(stages.c.id, stages.c.study).where(stages.c.state == StageState.OPEN)
_BEGUN = (
    _of_sweep(stages.c.id, stages.c.name, stages.c.study)
    .where(any_slot(slots.c.trial_number.is_not(None)).is_not(None))
    .order_by(stages.c.position)
)
_CLOSED = select(stages.c.id).where(stages.c.id == bindparam("of_stage"), *_NOTHING_LEFT)
