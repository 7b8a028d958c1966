"""Two transactions on PostgreSQL, one inside the other: the test says where."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event, text

_WITHIN_S = 60.0
_POLL_S = 0.005


@contextmanager
def before_commit(engine: Engine, do: Callable[[], None]) -> Iterator[None]:
    """Do something just before the next transaction of an engine is committed."""
    done = False

    def on_commit(_: Connection) -> None:
        nonlocal done
        if not done:
            done = True
            do()

    event.listen(engine, "commit", on_commit)
    try:
        yield
    finally:
        event.remove(engine, "commit", on_commit)
    assert done, "there was no transaction"


def inside(
    engine: Engine, first: Callable[[Engine], Any], other: Engine, second: Callable[[Engine], Any]
) -> None:
    """Run `second` between the last statement of `first` and its commit.

    It is over by then, or waits for a row that `first` has locked; then `first` is committed, and
    `second` goes on.
    """
    thread = threading.Thread(target=second, args=(other,), daemon=True)

    def meanwhile() -> None:
        thread.start()
        pause = threading.Event()
        for _ in range(round(_WITHIN_S / _POLL_S)):
            if not thread.is_alive() or _waits(engine):
                return
            pause.wait(_POLL_S)
        raise AssertionError("the second transaction neither ends nor waits for a lock")

    with before_commit(engine, meanwhile):
        first(engine)
    thread.join(_WITHIN_S)
    assert not thread.is_alive(), "the second transaction never ended"


def _waits(engine: Engine) -> bool:
    """Whether a connection to the database waits for a lock."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with engine.connect() as connection:
        return bool(connection.execute(query).scalar_one())
