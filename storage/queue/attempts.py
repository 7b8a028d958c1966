"""The history of a slot: who tried it, and how each try ended."""

from collections.abc import Collection
from functools import cache

from sqlalchemy import Connection, Insert, bindparam, func, insert, select, update

from storage.engine import now_s, upsert
from storage.tables import attempts

LOST = "lost"
"""The worker vanished, and another took the slot over."""


RETRIED = "retried"
"""No attempt, but a mark among them: a user had the slot queued again (`sweep retry`)."""


def begin(connection: Connection, slot: int, attempt: int, worker: str) -> None:
    """Note that a worker starts on a slot; an attempt still open was lost with its worker."""
    if attempt > 1:
        connection.execute(_LOSE, {"of_slot": slot})
    values = {"of_slot": slot, "number": attempt, "by_worker": worker}
    connection.execute(_begin(connection.dialect.name), values)


def end(
    connection: Connection, slot: int, attempt: int, ending: str, message: str | None = None
) -> None:
    """Note how an attempt ended."""
    values = {"of_slot": slot, "number": attempt, "as_ending": ending, "with_message": message}
    connection.execute(_END, values)


def ending(connection: Connection, slot: int, attempt: int) -> str | None:
    """Return how an attempt ended; None while it goes on."""
    query = select(attempts.c.ending).where(
        attempts.c.slot_id == slot, attempts.c.attempt == attempt
    )
    return connection.execute(query).scalar_one_or_none()


def retried(connection: Connection, slot: int, attempt: int) -> None:
    """Note that a user had the slot queued again: the attempts before count no more."""
    connection.execute(
        insert(attempts).values(
            slot_id=slot,
            attempt=attempt,
            worker="",
            started_at=now_s(),
            ended_at=now_s(),
            ending=RETRIED,
            message="queued again by `sweep retry`",
        )
    )


def last_retry(connection: Connection, slot: int) -> int:
    """Return the attempt at whose place the slot was last queued again; 0 where it never was."""
    found = connection.execute(_LAST_RETRY, {"of_slot": slot}).scalar_one()
    return found if isinstance(found, int) else 0


def count(connection: Connection, slot: int, endings: Collection[str], *, before: int) -> int:
    """Count a slot's attempts that ended in one of these ways, since it was last queued again.

    Args:
        connection: To the database.
        slot: Its id.
        endings: The ways.
        before: Only attempts before this one count.
    """
    query = select(func.count()).where(
        attempts.c.slot_id == slot,
        attempts.c.attempt > last_retry(connection, slot),
        attempts.c.attempt < before,
        attempts.c.ending.in_(list(endings)),
    )
    return int(connection.execute(query).scalar_one())


_LOSE = (
    update(attempts)
    .where(attempts.c.slot_id == bindparam("of_slot"), attempts.c.ending.is_(None))
    .values(ending=LOST, ended_at=now_s(), message="its worker gave no sign of life")
)
_END = (
    update(attempts)
    .where(attempts.c.slot_id == bindparam("of_slot"), attempts.c.attempt == bindparam("number"))
    .values(ending=bindparam("as_ending"), ended_at=now_s(), message=bindparam("with_message"))
)
_LAST_RETRY = select(func.coalesce(func.max(attempts.c.attempt), 0)).where(
    attempts.c.slot_id == bindparam("of_slot"), attempts.c.ending == RETRIED
)


@cache
def _begin(dialect: str) -> Insert:
    values = {
        "slot_id": bindparam("of_slot"),
        "attempt": bindparam("number"),
        "worker": bindparam("by_worker"),
        "started_at": now_s(),
    }
    # Somebody else may have written it.
    return upsert(dialect, attempts).values(**values).on_conflict_do_nothing()
