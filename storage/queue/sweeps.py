"""Sweeps: stored at submit with their whole budget."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from storage.engine import now_s, reading, writing
from storage.errors import CommandRefused, SweepNotFound
from storage.queue.locks import lock_sweep
from storage.queue.slots import any_slot
from storage.queue.stages import NewStage, insert_stage, is_there
from storage.states import SlotState, StageState, SweepState
from storage.tables import record_of, slots, stages, sweeps


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What a sweep is asked to do."""

    name: str
    spec: Mapping[str, Any]
    """The sweep file as JSON (`sweep.spec.sweep_file.SweepSpec`)."""
    spec_hash: str
    dataset: Path | None
    """Folder of the prepared dataset; None for a trainer that needs none."""
    fingerprint: str
    """The dataset's; empty where there is none."""
    runs: Path
    """Absolute path of the folder its trials write under."""
    model: str
    """Absolute path of the weights, or a model's name."""
    model_sha256: str | None
    """Of the weights; None where the model has none."""


@dataclass(frozen=True, kw_only=True)
class Sweep(Submission):
    """A sweep that was submitted."""

    id: int
    state: SweepState
    priority: int = 0
    """Workers take the sweep with the highest first."""
    created_at: datetime
    """When it was submitted, UTC."""


def create(engine: Engine, submission: Submission, new_stages: Sequence[NewStage]) -> bool:
    """Store a sweep with its stages and slots; False when one of this name is there already.

    Everything in one transaction: a sweep is there with its whole budget, or not at all.
    """
    try:
        with writing(engine) as connection:
            sweep_id = connection.execute(
                insert(sweeps)
                .values(**vars(submission), state=SweepState.ACTIVE, created_at=now_s())
                .returning(sweeps.c.id)
            ).scalar_one()
            for stage in new_stages:
                insert_stage(connection, sweep_id, stage)
    except IntegrityError:
        return False
    return True


def add_stage(engine: Engine, sweep: str, stage: NewStage) -> None:
    """Append a stage to a sweep and make the sweep active again; the same again changes nothing.

    Raises:
        SweepNotFound: If there is no sweep of this name.
        SweepExists: If the sweep has another stage of this name.
        CommandRefused: If the sweep was cancelled or is being deleted.
    """
    with writing(engine) as connection:
        sweep_id = find(connection, sweep).id
        refuse_ended(sweep, lock_sweep(connection, sweep_id))
        if is_there(connection, sweep_id, stage):
            return
        insert_stage(connection, sweep_id, stage)
        connection.execute(
            update(sweeps)
            .where(sweeps.c.id == sweep_id, sweeps.c.state == SweepState.DONE)
            .values(state=SweepState.ACTIVE)
        )


def refuse_ended(name: str, state: SweepState) -> None:
    """Refuse to queue more in a sweep that was cancelled or is being deleted.

    Raises:
        CommandRefused: If it was, or is.
    """
    if state is SweepState.DELETING:
        raise CommandRefused(f"sweep {name!r} is being deleted")
    if state is SweepState.CANCELLED:
        raise CommandRefused(
            f"sweep {name!r} was cancelled, which is final; submit its file under another `name`"
        )


def get(engine: Engine, name: str) -> Sweep:
    """Read a sweep.

    Raises:
        SweepNotFound: If there is no sweep of this name.
    """
    with reading(engine) as connection:
        return find(connection, name)


def find(connection: Connection, name: str) -> Sweep:
    """Read a sweep as `get` does, in a transaction that reads more."""
    row = connection.execute(_NAMED, {"of_name": name}).first()
    if row is None:
        known = _texts(connection.execute(_NAMES).scalars())
        raise SweepNotFound(
            f"no sweep {name!r} in this database; "
            + (f"there are: {', '.join(known)}" if known else "it holds none yet")
        )
    return record_of(Sweep, row)


def names(engine: Engine) -> list[str]:
    """List all sweeps, oldest first."""
    with reading(engine) as connection:
        return _texts(connection.execute(_NAMES).scalars())


def ending(engine: Engine) -> list[str]:
    """List the cancelled sweeps with running trials, which workers bring to their end."""
    with reading(engine) as connection:
        return _texts(connection.execute(_ENDING).scalars())


def ended(engine: Engine) -> list[str]:
    """List the cancelled sweeps with open stages that have nothing running."""
    with reading(engine) as connection:
        return _texts(connection.execute(_ENDED).scalars())


def active(engine: Engine) -> list[str]:
    """List the sweeps that workers serve, oldest first."""
    with reading(engine) as connection:
        return _texts(connection.execute(_ACTIVE).scalars())


def _texts(names: Iterable[Any]) -> list[str]:
    """Return the names that can be read; no other could be asked for."""
    return [name for name in names if isinstance(name, str)]


def _cancelled(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Select the names of the cancelled sweeps with a stage that meets conditions."""
    return (
        select(sweeps.c.name)
        .distinct()
        .join(stages, stages.c.sweep_id == sweeps.c.id)
        .where(sweeps.c.state == SweepState.CANCELLED, *conditions)
    )


_RUNNING = any_slot(slots.c.state == SlotState.RUNNING)
_NAMED = select(sweeps).where(sweeps.c.name == bindparam("of_name"))
_NAMES = select(sweeps.c.name).order_by(sweeps.c.id)
_ACTIVE = _NAMES.where(sweeps.c.state == SweepState.ACTIVE)
_ENDING = _cancelled(_RUNNING.is_not(None))
_ENDED = _cancelled(stages.c.state == StageState.OPEN, _RUNNING.is_(None))
