"""Leases are renewed whatever else a worker waits for, and what cannot be renewed is told."""

import signal
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest
from sqlalchemy import Engine, select, update

from storage.database import Database
from storage.engine import now_s, reading, writing
from storage.errors import DatabaseGone, LeaseLost
from storage.process_identity import ProcessIdentity
from storage.queue.leases import LEASE_S, Lease
from storage.queue.queue import Queue
from storage.queue.slots import Slot
from storage.tables import slots
from sweep.worker.lease_keeper import LeaseKeeper
from tests.submission import submit

WITHIN_S = 60.0


@pytest.fixture
def database(engine: Engine, storage_url: str) -> Database:
    return Database(url=storage_url, engine=engine, queue=Queue(engine))


@pytest.fixture
def lease() -> Lease:
    slot = Slot(
        **{"id": 1, "sweep_id": 1, "sweep": "one", "stage_id": 1, "stage": "search"},
        **{"study": "one/search", "stage_epochs": 1, "ordinal": 0, "label": None},
        **{"params": None, "trial_id": None, "trial_number": None},
    )
    return Lease(slot=slot, attempt=1, worker="worker")


class Renewing:
    """A database where renewals do one thing after the other, and then succeed."""

    def __init__(self, *steps: BaseException | Callable[[], None]) -> None:
        self._steps = list(steps)
        self.renewed = threading.Event()
        self.queue = self

    def renew(self, _lease: Lease) -> None:
        step = self._steps.pop(0) if self._steps else self.renewed.set
        if isinstance(step, BaseException):
            raise step
        step()

    def rest(self) -> None: ...


def keeper(renewing: Renewing, renewal_s: float = 0.001) -> LeaseKeeper:
    return LeaseKeeper(lambda: cast(Database, renewing), renewal_s=renewal_s)


def ended(kept: LeaseKeeper) -> None:
    """Wait until the thread that renews has ended."""
    assert kept._thread is not None
    kept._thread.join(WITHIN_S)
    assert not kept._thread.is_alive()


def test_a_lease_is_renewed_while_the_main_thread_waits(lease: Lease) -> None:
    renewing = Renewing()
    with keeper(renewing).keeping(lease):
        assert renewing.renewed.wait(WITHIN_S)


def lease_left_s(engine: Engine) -> float:
    with reading(engine) as connection:
        return float(connection.execute(select(slots.c.lease_until - now_s())).scalar_one())


def test_it_is_the_databases_lease_and_on_connections_of_its_own(
    database: Database,
) -> None:
    submit(database.engine, budget=1)
    lease = database.queue.claim("worker", ProcessIdentity.current())
    assert lease is not None
    with writing(database.engine) as connection:
        connection.execute(update(slots).values(lease_until=now_s() + 1))
    opened: list[Database] = []
    renewed = threading.Event()

    def opens() -> Database:
        opened.append(database.renewing())
        return opened[-1]

    kept = LeaseKeeper(opens, renewal_s=0.001)
    with kept.keeping(lease):
        while lease_left_s(database.engine) < LEASE_S / 2:
            renewed.wait(0.01)
    assert len(opened) == 1
    assert opened[0].engine is not database.engine
    opened[0].engine.dispose()


def test_a_lease_that_another_worker_has_is_told_to_who_asks(lease: Lease) -> None:
    kept = keeper(Renewing(LeaseLost("taken over")))
    with kept.keeping(lease):
        ended(kept)
        with pytest.raises(LeaseLost, match="taken over"):
            kept.check()
    kept.check()  # of a slot that was settled nobody asks


def test_an_outage_is_told_once_and_so_is_its_end(
    lease: Lease, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="sweep")
    renewing = Renewing(DatabaseGone("away"), RuntimeError("what\nis this"))
    kept = keeper(renewing)
    with kept.keeping(lease):
        thread = kept._thread
        assert renewing.renewed.wait(WITHIN_S)
        kept.check()
    assert thread is not None
    thread.join(WITHIN_S)
    assert caplog.messages[:2] == [
        "one/search slot 0: its lease cannot be renewed, and others may take it over in 60 s "
        "(away)",
        "one/search slot 0: its lease is renewed again",
    ]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_is_noticed_and_replaced(
    lease: Lease, caplog: pytest.LogCaptureFixture
) -> None:
    renewing = Renewing(SystemExit())
    kept = keeper(renewing)
    with kept.keeping(lease):
        ended(kept)
        assert not renewing.renewed.is_set()
        kept.check()
        assert renewing.renewed.wait(WITHIN_S)
    assert "the thread that renews its lease died; another goes on" in caplog.text


def test_signals_are_left_to_the_main_thread(lease: Lease) -> None:
    blocked: list[set[Any]] = []

    def look() -> None:
        blocked.append(set(signal.pthread_sigmask(signal.SIG_BLOCK, [])))

    renewing = Renewing(look)
    with keeper(renewing).keeping(lease):
        assert renewing.renewed.wait(WITHIN_S)
    assert {signal.SIGTERM, signal.SIGINT} <= blocked[0]


def test_after_the_block_nothing_is_renewed(lease: Lease) -> None:
    kept = keeper(Renewing(), renewal_s=1e6)
    with kept.keeping(lease):
        thread = kept._thread
    assert thread is not None
    thread.join(WITHIN_S)
    assert not thread.is_alive()
