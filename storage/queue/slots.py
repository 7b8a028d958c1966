"""A slot and the right to it, as workers hold them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, ScalarSelect, Select, select

from storage.states import SlotState
from storage.tables import slots, stages, sweeps


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One budgeted trial, as a worker needs it."""

    id: int
    sweep_id: int
    sweep: str
    stage_id: int
    stage: str
    study: str
    stage_epochs: int
    ordinal: int
    label: str | None
    params: Mapping[str, Any] | None
    """None until a sampler chose them."""
    trial_id: int | None
    trial_number: int | None


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A worker's time-limited right to a slot."""

    slot: Slot
    attempt: int
    """The fencing token: every write checks that it is still the slot's."""
    worker: str
    lost: int = 0
    """How many earlier attempts ended with their worker."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A slot in its final state, as the projection to Optuna needs it."""

    slot: Slot
    state: SlotState
    attempt: int
    worker: str | None
    failure_kind: str | None
    message: str | None
    result: Mapping[str, Any] | None


def of_stage() -> tuple[ColumnElement[Any], ...]:
    """Return the columns of a slot's stage and sweep that `slot_of` needs."""
    return (
        stages.c.id.label("stage_id"),
        stages.c.name.label("stage_name"),
        stages.c.study,
        stages.c.epochs.label("stage_epochs"),
        sweeps.c.id.label("sweep_id"),
        sweeps.c.name.label("sweep_name"),
    )


def slot_rows() -> Select[Any]:
    """Select slots with what `settled_of` needs of their stage and sweep."""
    own = [column for column in slots.c if column.name != "stage_id"]
    return (
        select(*own, *of_stage())
        .join_from(slots, stages, stages.c.id == slots.c.stage_id)
        .join(sweeps, sweeps.c.id == stages.c.sweep_id)
    )


def any_slot(condition: ColumnElement[bool]) -> ScalarSelect[int]:
    """Select the id of one slot of a stage that meets a condition, null where there is none.

    Unlike with EXISTS, which PostgreSQL may answer by reading the slots of all stages, each stage
    costs one look into an index.
    """
    return (
        select(slots.c.id)
        .where(slots.c.stage_id == stages.c.id, condition)
        .limit(1)
        .correlate(stages)
        .scalar_subquery()
    )


def slot_of(row: Row[Any], stage: Row[Any]) -> Slot:
    """Read a row of slots and one with the columns of `of_stage`."""
    return Slot(
        id=row.id,
        sweep_id=stage.sweep_id,
        sweep=stage.sweep_name,
        stage_id=stage.stage_id,
        stage=stage.stage_name,
        study=stage.study,
        stage_epochs=stage.stage_epochs,
        ordinal=row.ordinal,
        label=row.label,
        params=row.params,
        trial_id=row.trial_id,
        trial_number=row.trial_number,
    )


def settled_of(row: Row[Any]) -> Settled:
    """Read a row of `slot_rows` whose slot is in a final state."""
    return Settled(
        slot=slot_of(row, row),
        state=SlotState(row.state),
        attempt=row.attempt,
        worker=row.worker,
        failure_kind=row.failure_kind,
        message=row.message,
        result=row.result,
    )
