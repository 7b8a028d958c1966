"""The history of a slot: who tried it, and how each try ended."""

from collections.abc import Collection

from sqlalchemy import Connection, func, insert, select, update

from storage.engine import now_s
from storage.tables import attempts

LOST = "lost"
"""The worker vanished, and another took the slot over."""


def begin(connection: Connection, slot: int, attempt: int, worker: str) -> None:
    """Note that a worker starts on a slot; an attempt still open was lost with its worker."""
    if attempt > 1:
        connection.execute(
            update(attempts)
            .where(attempts.c.slot_id == slot, attempts.c.ending.is_(None))
            .values(ending=LOST, ended_at=now_s(), message="its worker gave no sign of life")
        )
    connection.execute(
        insert(attempts).values(slot_id=slot, attempt=attempt, worker=worker, started_at=now_s())
    )


def end(
    connection: Connection, slot: int, attempt: int, ending: str, message: str | None = None
) -> None:
    """Note how an attempt ended."""
    connection.execute(
        update(attempts)
        .where(attempts.c.slot_id == slot, attempts.c.attempt == attempt)
        .values(ending=ending, ended_at=now_s(), message=message)
    )


def count(connection: Connection, slot: int, endings: Collection[str]) -> int:
    """Count a slot's attempts that ended in one of these ways."""
    query = select(func.count()).where(
        attempts.c.slot_id == slot, attempts.c.ending.in_(list(endings))
    )
    return int(connection.execute(query).scalar_one())
