"""What a user tells a sweep: pause, resume, cancel, and how urgent it is."""

from collections.abc import Collection

from sqlalchemy import Connection, Engine, select, update

from storage.engine import now_s, writing
from storage.errors import CommandRefused
from storage.queue.locks import lock_sweep
from storage.queue.settling import CANCELLED
from storage.queue.sweeps import find, get
from storage.states import SlotState, SweepState
from storage.tables import slots, stages, sweeps


def pause(engine: Engine, name: str) -> bool:
    """Let the sweep's workers end their epochs and give their slots back, until `resume`.

    Returns:
        Whether it was not paused before; so do the other commands of their state.

    Raises:
        SweepNotFound: If there is no sweep of this name.
        CommandRefused: If it is done or cancelled.
    """
    with writing(engine) as connection:
        return _move(connection, name, [SweepState.ACTIVE], SweepState.PAUSED)


def resume(engine: Engine, name: str) -> bool:
    """Let workers serve a paused sweep again.

    Raises:
        SweepNotFound: If there is no sweep of this name.
        CommandRefused: If it is done or cancelled.
    """
    with writing(engine) as connection:
        return _move(connection, name, [SweepState.PAUSED], SweepState.ACTIVE)


def cancel(engine: Engine, name: str) -> bool:
    """End the sweep for good: queued slots now, running ones after the epoch at hand.

    Raises:
        SweepNotFound: If there is no sweep of this name.
        CommandRefused: If it is done.
    """
    before = [SweepState.ACTIVE, SweepState.PAUSED]
    of_sweep = (
        select(stages.c.id)
        .join(sweeps, sweeps.c.id == stages.c.sweep_id)
        .where(sweeps.c.name == name)
    )
    with writing(engine) as connection:
        moved = _move(connection, name, before, SweepState.CANCELLED)
        connection.execute(
            update(slots)
            .where(slots.c.stage_id.in_(of_sweep), slots.c.state == SlotState.QUEUED)
            .values(**CANCELLED, finished_at=now_s(), unprojected=slots.c.trial_id.is_not(None))
        )
        return moved


def set_priority(engine: Engine, name: str, priority: int) -> None:
    """Say how urgent a sweep is: workers that serve several take the highest number first.

    Raises:
        SweepNotFound: If there is no sweep of this name.
    """
    sweep_id = get(engine, name).id
    with writing(engine) as connection:
        connection.execute(update(sweeps).where(sweeps.c.id == sweep_id).values(priority=priority))


def _move(
    connection: Connection, name: str, before: Collection[SweepState], state: SweepState
) -> bool:
    """Bring a sweep from one of some states to another; False if it is there already."""
    sweep_id = find(connection, name).id
    found = lock_sweep(connection, sweep_id)
    if found is state:
        return False
    if found not in before:
        raise CommandRefused(f"sweep {name!r} is {found} and cannot become {state} any more")
    connection.execute(update(sweeps).where(sweeps.c.id == sweep_id).values(state=state))
    return True
