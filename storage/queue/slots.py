"""A slot, as workers hold it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, select, true

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


def of_stage() -> tuple[ColumnElement[Any], ...]:
    """Return the columns of a slot's stage and sweep, named as a `Slot` has them."""
    return (
        stages.c.name.label("stage"),
        stages.c.study,
        stages.c.epochs.label("stage_epochs"),
        sweeps.c.id.label("sweep_id"),
        sweeps.c.name.label("sweep"),
    )


def named(names: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that a sweep is one of these; true for all when there are none."""
    return sweeps.c.name.in_(list(names)) if names else true()


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
