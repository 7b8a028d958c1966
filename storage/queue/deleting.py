"""A sweep that nobody wants any more: marked first, then removed piece by piece.

Each step may be repeated. From the mark on nothing of the sweep is claimed, settled or told to
Optuna; its name is free when its last row is gone.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Select, delete, func, or_, select, text, update

from storage.engine import now_s, reading, writing
from storage.errors import CommandRefused
from storage.outage import telling_outages
from storage.process_identity import ProcessIdentity
from storage.queue.locks import lock_sweep
from storage.queue.sweeps import find
from storage.sqlite import locked_folder
from storage.states import SlotState, SweepState
from storage.tables import attempts, epochs, slots, stages, sweeps, workers

_LOCK = 7_305_114
"""Of PostgreSQL's advisory locks: held while a sweep is deleted."""
_BATCH = 500
"""So many slots are removed in one transaction; others can write in between."""
_HELD = (SlotState.QUEUED, SlotState.RUNNING)


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """What the tables hold of a sweep."""

    rows: Mapping[str, int]
    """How many, by table."""
    slots: frozenset[int]
    """Ids of its slots."""
    holders: tuple[str, ...]
    """Workers that are at a trial of it now."""
    sharing: tuple[str, ...]
    """Other sweeps on the same dataset."""


@contextmanager
def alone(engine: Engine, name: str) -> Iterator[None]:
    """Keep other processes from deleting sweeps of this database; a lock ends with its process.

    Raises:
        CommandRefused: If another process is deleting one.
    """
    busy = CommandRefused(
        f"sweep {name!r}: another process is deleting a sweep of this database; "
        "wait until it has ended, then run this again"
    )
    if engine.dialect.name == "sqlite":
        with locked_folder(engine.url.database) as locked_here:
            if not locked_here:
                raise busy
            yield
        return
    with (
        telling_outages(),
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        taken = connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _LOCK})
        if not taken.scalar_one():
            raise busy
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})


def inventory(engine: Engine, name: str) -> Inventory:
    """Read what there is of a sweep.

    Raises:
        SweepNotFound: If there is no sweep of this name.
    """
    with reading(engine) as connection:
        sweep = find(connection, name)
        own = _slots_of(sweep.id)
        found = frozenset(connection.execute(own).scalars())
        counted = {
            "stages": select(func.count()).where(stages.c.sweep_id == sweep.id),
            "attempts": select(func.count()).where(attempts.c.slot_id.in_(own)),
            "epochs": select(func.count()).where(epochs.c.slot_id.in_(own)),
        }
        rows = {table: connection.execute(query).scalar_one() for table, query in counted.items()}
        others = select(sweeps.c.name).where(
            sweeps.c.id != sweep.id,
            sweeps.c.fingerprint == sweep.fingerprint,
            sweeps.c.dataset.is_not(None),
        )
        return Inventory(
            rows={"sweeps": 1, "slots": len(found), **rows},
            slots=found,
            holders=_holders(connection, sweep.id),
            sharing=tuple(connection.execute(others.order_by(sweeps.c.id)).scalars()),
        )


def mark(engine: Engine, name: str) -> None:
    """Take a sweep away from all workers, for good.

    A worker that claimed a trial at this moment, or comes back to one after its lease ran out,
    finds that it has lost it.

    Raises:
        SweepNotFound: If there is no sweep of this name.
        CommandRefused: If workers are at trials of it.
    """
    with writing(engine) as connection:
        sweep = find(connection, name)
        state = lock_sweep(connection, sweep.id)
        if state is not SweepState.DELETING and (at_it := _holders(connection, sweep.id)):
            raise CommandRefused(held(name, state, at_it))
        connection.execute(
            update(slots)
            .where(slots.c.id.in_(_slots_of(sweep.id)), slots.c.state.in_(_HELD))
            .values(state=SlotState.CANCELLED, failure_kind=SlotState.CANCELLED)
        )
        connection.execute(
            update(slots)
            .where(slots.c.id.in_(_slots_of(sweep.id)), slots.c.unprojected)
            .values(unprojected=False)
        )
        connection.execute(
            update(sweeps).where(sweeps.c.id == sweep.id).values(state=SweepState.DELETING)
        )


def held(name: str, state: SweepState, holders: Collection[str]) -> str:
    """Say that workers are at a sweep, and what to do."""
    cancelled = state is SweepState.CANCELLED
    first = "" if cancelled else f"run `sweep cancel {name}`, "
    return (
        f"sweep {name!r} cannot be deleted while workers are at it: {', '.join(holders)}; "
        f"{first}wait until their epochs have ended, then run this again"
    )


def remove_slots(engine: Engine, name: str) -> bool:
    """Remove some of a marked sweep's slots, with all that hangs on them; False if none is left.

    Raises:
        SweepNotFound: If there is no sweep of this name.
    """
    with writing(engine) as connection:
        batch = _slots_of(_marked(connection, name)).order_by(slots.c.id.desc()).limit(_BATCH)
        found = list(connection.execute(batch).scalars())
        for table in (epochs, attempts):
            connection.execute(delete(table).where(table.c.slot_id.in_(found)))
        connection.execute(update(workers).where(workers.c.slot_id.in_(found)).values(slot_id=None))
        connection.execute(delete(slots).where(slots.c.id.in_(found)))
    return bool(found)


def remove(engine: Engine, name: str) -> None:
    """Remove what is left of a marked sweep without slots; its name is free then.

    Raises:
        SweepNotFound: If there is no sweep of this name.
    """
    with writing(engine) as connection:
        sweep_id = _marked(connection, name)
        connection.execute(delete(stages).where(stages.c.sweep_id == sweep_id))
        connection.execute(delete(sweeps).where(sweeps.c.id == sweep_id))


def _marked(connection: Connection, name: str) -> int:
    sweep = find(connection, name)
    if lock_sweep(connection, sweep.id) is not SweepState.DELETING:
        raise CommandRefused(f"sweep {name!r} was submitted anew meanwhile; nothing of it is gone")
    return sweep.id


def _slots_of(sweep_id: int) -> Select[Any]:
    return (
        select(slots.c.id)
        .join(stages, stages.c.id == slots.c.stage_id)
        .where(stages.c.sweep_id == sweep_id)
    )


def _holders(connection: Connection, sweep_id: int) -> tuple[str, ...]:
    """List the workers that train a trial of a sweep, or tell Optuna of one, as far as is known."""
    rows = connection.execute(
        select(slots.c.worker, slots.c.owner)
        .join(stages, stages.c.id == slots.c.stage_id)
        .where(
            stages.c.sweep_id == sweep_id,
            or_(slots.c.state == SlotState.RUNNING, slots.c.unprojected),
            slots.c.lease_until >= now_s(),
        )
        .order_by(slots.c.id)
    ).all()
    alive = [row for row in rows if not ProcessIdentity(**row.owner).provably_dead()]
    return tuple(dict.fromkeys(row.worker for row in alive))
