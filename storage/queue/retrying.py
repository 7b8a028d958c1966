"""Failed slots, queued again because a user said so."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, select, update

from storage.engine import writing
from storage.errors import CommandRefused
from storage.queue import attempts
from storage.queue.locks import lock_sweep
from storage.queue.slots import any_slot
from storage.queue.sweeps import find, refuse_ended
from storage.states import SlotState, StageState, SweepState
from storage.tables import epochs, slots, stages, sweeps


def retry(engine: Engine, name: str, kinds: Collection[str] = ()) -> int:
    """Queue a sweep's failed slots again, those that failed in one of these ways; return how many.

    Each begins anew, with its settings and all its retries: its epochs are dropped, and what it
    left is not gone on from. A sweep that was done is active again, and a stage that had nothing to
    do because nothing before it completed is planned again when its turn comes.

    Raises:
        SweepNotFound: If there is no sweep of this name.
        CommandRefused: If it was cancelled, is being deleted, or there is no such slot.
    """
    with writing(engine) as connection:
        sweep = find(connection, name)
        refuse_ended(name, lock_sweep(connection, sweep.id))
        failed = _failed(connection, sweep.id)
        chosen = [slot for slot in failed if not kinds or slot.failure_kind in kinds]
        if not chosen:
            raise CommandRefused(_nothing_of(name, failed, kinds))
        for slot in chosen:
            _queue_again(connection, slot)
        _reopen(connection, sweep.id, {slot.stage_id for slot in chosen})
    return len(chosen)


def _failed(connection: Connection, sweep_id: int) -> Sequence[Row[Any]]:
    """Read the failed slots that Optuna was told of; the others are still being settled."""
    query = (
        select(slots)
        .join(stages, stages.c.id == slots.c.stage_id)
        .where(
            stages.c.sweep_id == sweep_id,
            slots.c.state == SlotState.FAILED,
            slots.c.unprojected.is_(False),
        )
    )
    return connection.execute(query).all()


def _nothing_of(name: str, failed: Sequence[Row[Any]], kinds: Collection[str]) -> str:
    counts = Counter(slot.failure_kind for slot in failed)
    if not counts:
        return f"sweep {name!r} has no failed trial to queue again"
    there = ", ".join(f"{kind} ({count})" for kind, count in sorted(counts.items()))
    return f"sweep {name!r} has no trial that failed so: {', '.join(kinds)}; there are: {there}"


def _queue_again(connection: Connection, slot: Row[Any]) -> None:
    attempts.retried(connection, slot.id, slot.attempt + 1)
    connection.execute(delete(epochs).where(epochs.c.slot_id == slot.id))
    connection.execute(
        update(slots)
        .where(slots.c.id == slot.id)
        .values(
            state=SlotState.QUEUED,
            attempt=slot.attempt + 1,
            trial_id=None,  # it keeps the failed one; the next attempt makes another
            trial_number=None,
            **dict.fromkeys(("failure_kind", "message", "finished_at")),
            **dict.fromkeys(("worker", "owner", "owner_host", "lease_until")),
            **dict.fromkeys(("device_kind", "epochs_from")),
        )
    )


def _reopen(connection: Connection, sweep_id: int, of_stages: Collection[int]) -> None:
    connection.execute(
        update(stages).where(stages.c.id.in_(list(of_stages))).values(state=StageState.OPEN)
    )
    first = select(stages.c.position).where(stages.c.id.in_(list(of_stages)))
    positions = connection.execute(first).scalars().all()
    connection.execute(
        update(stages)
        .where(
            stages.c.sweep_id == sweep_id,
            stages.c.position > min(positions),
            any_slot(slots.c.id.is_not(None)).is_(None),
        )
        .values(state=StageState.WAITING)
    )
    connection.execute(
        update(sweeps)
        .where(sweeps.c.id == sweep_id, sweeps.c.state == SweepState.DONE)
        .values(state=SweepState.ACTIVE)
    )
