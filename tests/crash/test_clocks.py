"""A worker or its computer sleeps, or its clock is wrong: no slot is lost or done twice."""

import os
import signal
from collections.abc import Sequence
from datetime import datetime, timedelta

import optuna
import pytest
from sqlalchemy import select, update

from storage.database import Database
from storage.engine import now_s, reading, writing
from storage.process_identity import ProcessIdentity
from storage.queue.leases import LEASE_S
from storage.queue.queue import Queue
from storage.states import SlotState
from storage.tables import slots
from tests.command import Command, wait_until
from tests.crash.workers import (
    EPOCHS,
    complete_epochs,
    read,
    running,
    started_worker,
    stop_between_transactions,
    sweep_file,
)
from tests.postgres import Postgres

pytestmark = pytest.mark.slow


def test_a_worker_stopped_past_its_lease_drops_its_work(sweep: Command, storage_url: str) -> None:
    file = sweep.write("one.yaml", sweep_file())
    assert sweep("submit", file, "--storage", storage_url).code == 0
    late = started_worker(sweep, storage_url, "--drain")
    wait_until(lambda: running(storage_url) >= 1, late)
    stop_between_transactions(storage_url, [late], os.kill)
    take_over_and_give_back(storage_url)
    os.kill(late.pid, signal.SIGCONT)
    out, err = late.communicate()
    assert late.returncode == 0, (out, err)
    assert "was taken over or settled; dropped" in out
    record = read(storage_url)
    assert complete_epochs(record) == [list(range(1, EPOCHS + 1))] * 4
    assert sorted(slot.attempt for slot in record.stages[0].slots) == [1, 1, 1, 3]


def take_over_and_give_back(url: str) -> None:
    """Do as a worker that has watched an expired lease for long enough."""
    engine = Database.open(url).engine
    with writing(engine) as connection:
        connection.execute(
            update(slots).where(slots.c.state == SlotState.RUNNING).values(lease_until=now_s() - 1)
        )
        connection.execute(  # else the queued ones were claimed as well
            update(slots).where(slots.c.state == SlotState.QUEUED).values(state="set aside")
        )
    now = 0.0
    queue = Queue(engine, clock=lambda: now)
    assert queue.claim("other", ProcessIdentity.current()) is None
    now = queue.renewal_s
    lease = queue.claim("other", ProcessIdentity.current())
    assert lease is not None
    with writing(engine) as connection:
        connection.execute(
            update(slots).where(slots.c.state == "set aside").values(state=SlotState.QUEUED)
        )
    queue.release(lease, "preempted")
    engine.dispose()


def test_a_computer_that_slept_for_an_hour_takes_nothing_over(
    sweep: Command, storage_url: str
) -> None:
    content = sweep_file(train={"seconds_per_epoch": 2.5})
    content["search"]["space"]["lr0"] = [0.1, 0.01]
    assert sweep("submit", sweep.write("one.yaml", content), "--storage", storage_url).code == 0
    workers = [started_worker(sweep, storage_url, "--drain") for _ in range(3)]
    wait_until(lambda: running(storage_url) >= 2, workers[0])  # the third looks for lost ones
    stop_between_transactions(storage_url, workers, os.killpg)
    move_leases(storage_url, -3600)
    for worker in workers:
        os.killpg(worker.pid, signal.SIGCONT)
    for worker in workers:
        out, err = worker.communicate()
        assert worker.returncode == 0, (out, err)
    record = read(storage_url)
    assert complete_epochs(record) == [list(range(1, EPOCHS + 1))] * 2
    assert {slot.attempt for slot in record.stages[0].slots} == {1}


def move_leases(url: str, seconds: float) -> None:
    """Do to the leases what a jump of the database's clock does."""
    engine = Database.open(url).engine
    with writing(engine) as connection:
        connection.execute(
            update(slots)
            .where(slots.c.state == SlotState.RUNNING)
            .values(lease_until=slots.c.lease_until + seconds)
        )
    engine.dispose()


WRONG_CLOCK = """
import datetime, os, time

OFF_S = float(os.environ.get("CLOCK_IS_OFF_S", "0"))
time_s, time_ns, right = time.time, time.time_ns, datetime.datetime
time.time = lambda: time_s() + OFF_S
time.time_ns = lambda: time_ns() + int(OFF_S * 1e9)

class AnyDatetime(type):
    def __instancecheck__(cls, found):
        return isinstance(found, right)

class Wrong(right, metaclass=AnyDatetime):
    @classmethod
    def now(cls, tz=None):
        return right.now(tz) + datetime.timedelta(seconds=OFF_S)

    @classmethod
    def utcnow(cls):
        return right.utcnow() + datetime.timedelta(seconds=OFF_S)

datetime.datetime = Wrong
"""
"""Python runs a module of this name, `sitecustomize`, before anything else."""


def test_a_worker_whose_clock_is_an_hour_off_works_like_any_other(
    sweep: Command, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.create_database(f"clock_{os.getpid()}")
    (sweep.folder / "clock").mkdir()
    (sweep.folder / "clock" / "sitecustomize.py").write_text(WRONG_CLOCK)
    monkeypatch.setenv("PYTHONPATH", str(sweep.folder / "clock"))
    content = sweep_file()
    content["search"]["space"]["lr0"] = [0.1 / number for number in range(1, 10)]
    assert sweep("submit", sweep.write("one.yaml", content), "--storage", url).code == 0
    workers = {}
    for off_s in (-3600, 0, 3600):
        monkeypatch.setenv("CLOCK_IS_OFF_S", str(off_s))
        workers[off_s] = started_worker(sweep, url, "--drain")
    wait_until(lambda: running(url) >= 3, workers[0])
    assert all(0 < lease_s <= LEASE_S for lease_s in leases_s(url))
    assert all(worker.last_seen_s < LEASE_S for worker in read(url).workers)
    for worker in workers.values():
        out, err = worker.communicate()
        assert worker.returncode == 0, (out, err)
    record = read(url)
    assert complete_epochs(record) == [list(range(1, EPOCHS + 1))] * 9
    assert {slot.attempt for slot in record.stages[0].slots} == {1}
    assert hours_off(url) == {-1, 0, 1}  # the clocks really were
    postgres.drop_database(f"clock_{os.getpid()}")


def leases_s(url: str) -> Sequence[float]:
    """Return for how long the leases still hold, by the database's clock."""
    engine = Database.open(url).engine
    with reading(engine) as connection:
        left = select(slots.c.lease_until - now_s()).where(slots.c.state == SlotState.RUNNING)
        found = connection.execute(left).scalars().all()
    engine.dispose()
    assert found
    return found


def hours_off(url: str) -> set[int]:
    """Return how many hours off the clocks were that noted the beginnings of trials."""
    trials = optuna.load_study(study_name="one/search", storage=url).trials
    begun = [trial.datetime_start - datetime.now() for trial in trials if trial.datetime_start]
    return {round(off / timedelta(hours=1)) for off in begun}
