"""Which workers there are: each notes its own signs of life."""

from sqlalchemy import Engine, delete, func, select

from storage.engine import now_s, reading, upsert, writing
from storage.tables import workers


def seen(engine: Engine, worker: str, *, host: str, device: str, slot: int | None) -> None:
    """Note a worker's sign of life and the slot it is at (None while idle)."""
    values = {"host": host, "device": device, "slot_id": slot, "last_seen": now_s()}
    with writing(engine) as connection:
        connection.execute(
            upsert(engine, workers)
            .values(id=worker, **values)
            .on_conflict_do_update(index_elements=["id"], set_=values)
        )


def gone(engine: Engine, worker: str) -> None:
    """Note that a worker left."""
    with writing(engine) as connection:
        connection.execute(delete(workers).where(workers.c.id == worker))


def count(engine: Engine, *, seen_within_s: float) -> int:
    """Count the workers that gave a sign of life lately, of all sweeps."""
    with reading(engine) as connection:
        query = select(func.count()).where(workers.c.last_seen > now_s() - seen_within_s)
        return int(connection.execute(query).scalar_one())


def forget(engine: Engine, *, unseen_s: float) -> None:
    """Remove the rows of workers that gave no sign of life for so long.

    Slots and attempts keep the names of their workers. One that lives after all has a row again
    with its next claim.
    """
    with writing(engine) as connection:
        connection.execute(delete(workers).where(workers.c.last_seen < now_s() - unseen_s))
