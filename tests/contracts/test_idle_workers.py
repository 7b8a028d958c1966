"""Idle workers leave the database to those that train."""

import pytest
from sqlalchemy import Engine, insert

from storage.database import Database
from storage.engine import now_s, writing
from storage.queue.queue import Queue
from storage.tables import workers
from sweep.training.contract import Device
from sweep.worker import worker
from sweep.worker.shutdown import Shutdown


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.mark.parametrize(("live", "in_a_minute"), [(1, 71), (100, 30), (1000, 3)])
def test_of_many_idle_workers_each_looks_less_often(
    engine: Engine, storage_url: str, monkeypatch: pytest.MonkeyPatch, live: int, in_a_minute: int
) -> None:
    with writing(engine) as connection:
        rows = [{"id": f"worker-{n}", "host": "h", "device": "cpu"} for n in range(live)]
        connection.execute(insert(workers).values(last_seen=now_s()), rows)
    clock = Clock()
    monkeypatch.setattr(worker, "time", clock)
    database = Database(url=storage_url, engine=engine, queue=Queue(engine))
    idler = worker.Worker(database, device=Device(), shutdown=Shutdown())
    looks = 0
    while clock.seconds < 59.9:
        idler._idle()
        looks += 1
    assert looks == in_a_minute


def test_a_worker_that_has_just_become_idle_looks_again_soon(
    engine: Engine, storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(worker, "time", clock)
    database = Database(url=storage_url, engine=engine, queue=Queue(engine))
    idler = worker.Worker(database, device=Device(), shutdown=Shutdown())
    pauses = []
    for _ in range(20):
        before = clock.seconds
        idler._idle()
        pauses.append(clock.seconds - before)
    assert pauses[0] == pytest.approx(0.1)
    assert pauses == pytest.approx(sorted(pauses))
    assert pauses[-1] == pytest.approx(1.0)


def test_an_idle_worker_that_is_told_to_leave_does_so(
    engine: Engine, storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, shutdown = Clock(), Shutdown()
    shutdown.count = 1
    monkeypatch.setattr(worker, "time", clock)
    database = Database(url=storage_url, engine=engine, queue=Queue(engine))
    worker.Worker(database, device=Device(), shutdown=shutdown)._idle()
    assert clock.seconds == 0


@pytest.mark.parametrize(("signals", "why"), [(0, "nothing is left to do"), (1, "told to")])
def test_a_worker_says_why_it_leaves(
    engine: Engine, storage_url: str, caplog: pytest.LogCaptureFixture, signals: int, why: str
) -> None:
    caplog.set_level("INFO", logger="sweep")
    shutdown = Shutdown()
    shutdown.count = signals
    database = Database(url=storage_url, engine=engine, queue=Queue(engine))
    worker.Worker(database, device=Device(), drain=True, shutdown=shutdown).run()
    assert caplog.messages[-1] == f"leaving: {why}"
