"""Which workers there are: each notes its own signs of life."""

from functools import cache

from sqlalchemy import Engine, Insert, bindparam, delete, func, select

from storage.engine import now_s, reading, upsert, writing
from storage.tables import workers


def seen(engine: Engine, worker: str, *, host: str, device: str, slot: int | None) -> None:
    """Note a worker's sign of life and the slot it is at (None while idle)."""
    values = {"worker": worker, "on_host": host, "on_device": device, "at_slot": slot}
    with writing(engine) as connection:
        connection.execute(_seen(engine.dialect.name), values)


def gone(engine: Engine, worker: str) -> None:
    """Note that a worker left."""
    with writing(engine) as connection:
        connection.execute(delete(workers).where(workers.c.id == worker))


def count(engine: Engine, *, seen_within_s: float) -> int:
    """Count the workers that gave a sign of life lately, of all sweeps."""
    with reading(engine) as connection:
        return int(connection.execute(_COUNT, {"within_s": seen_within_s}).scalar_one())


def forget(engine: Engine, *, unseen_s: float) -> None:
    """Remove the rows of workers that gave no sign of life for so long.

    Slots and attempts keep the names of their workers. One that lives after all has a row again
    with its next claim.
    """
    with writing(engine) as connection:
        connection.execute(delete(workers).where(workers.c.last_seen < now_s() - unseen_s))


@cache
def _seen(dialect: str) -> Insert:
    values = {
        "host": bindparam("on_host"),
        "device": bindparam("on_device"),
        "slot_id": bindparam("at_slot"),
        "last_seen": now_s(),
    }
    return (
        upsert(dialect, workers)
        .values(id=bindparam("worker"), **values)
        .on_conflict_do_update(index_elements=["id"], set_=values)
    )


_COUNT = select(func.count()).where(workers.c.last_seen > now_s() - bindparam("within_s"))
