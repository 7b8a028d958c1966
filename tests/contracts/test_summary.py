"""What is counted in the database is what reading everything would count."""

from collections import Counter

import pytest
from sqlalchemy import Engine

from storage.errors import SweepNotFound
from storage.queue import commands
from storage.queue.leases import Lease
from storage.queue.queue import Queue
from storage.snapshot.reader import read_summary, read_sweep
from storage.states import SlotState, StageState, SweepState
from tests.contracts.test_queue import RESULT, claimed
from tests.submission import submit

BUDGET = 8


@pytest.fixture
def queue(engine: Engine) -> Queue:
    submit(engine, budget=BUDGET, retrain=True)
    return Queue(engine)


def train(queue: Queue, lease: Lease, *, epochs: int, seconds: float = 2.0) -> None:
    number = lease.slot.ordinal
    queue.record_trial(lease, trial_id=100 + number, number=number, params={"lr0": number})
    for epoch in range(1, epochs + 1):
        report = {"seconds": seconds}
        queue.record_epoch(lease, epoch=epoch, map50=epoch / 10, map50_95=0.1, report=report)


def complete(queue: Queue, value: float) -> None:
    lease = claimed(queue)
    train(queue, lease, epochs=2)
    queue.settle(lease, SlotState.COMPLETE, result=RESULT, value=value)


def test_slots_are_counted_and_the_best_is_found(engine: Engine, queue: Queue) -> None:
    for value in (0.2, 0.4, 0.4, 0.3):
        complete(queue, value)
    failing = claimed(queue)
    train(queue, failing, epochs=1)
    queue.fail(failing, "oom", "no memory")
    queue.release(claimed(queue), "preempted")
    train(queue, claimed(queue), epochs=1, seconds=11.0)
    found, everything = read_summary(engine, "one"), read_sweep(engine, "one")
    search, retrain = found.stages
    assert search.counts == dict.fromkeys(SlotState, 0) | Counter(
        slot.state for slot in everything.stages[0].slots
    )
    assert (search.total, search.done) == (BUDGET, 5)
    assert search.unplanned == {"oom": 1, "preempted": 1}
    assert search.best is not None
    assert (search.best.value, search.best.trial_number, search.best.epochs_done) == (0.4, 1, 2)
    (failed,) = search.failed
    assert (failed.state, failed.trial_number, failed.message) == ("failed", 4, "no memory")
    (running,) = search.moving
    assert (running.state, running.trial_number, running.worker) == ("running", 5, "worker")
    assert running.last_epoch is not None
    assert (running.epochs_done, running.last_epoch.map50, running.params) == (1, 0.1, {"lr0": 5})
    assert found.epoch_s == pytest.approx((8 * 2.0 + 11.0) / 9)
    assert (retrain.state, retrain.total, retrain.best) == (StageState.WAITING, 0, None)


def test_what_ended_since_the_last_look_is_shown(engine: Engine, queue: Queue) -> None:
    lease = claimed(queue)
    before = read_summary(engine, "one")
    assert [slot.state for slot in before.stages[0].moving] == ["running"]
    queue.settle(lease, SlotState.COMPLETE, result=RESULT, value=0.3)
    after = read_summary(engine, "one", since_s=before.at_s)
    assert [slot.state for slot in after.stages[0].moving] == ["complete"]
    much_later = read_summary(engine, "one", since_s=after.at_s + 60)
    assert much_later.stages[0].moving == ()


def test_a_cancelled_sweep_lists_no_trials_that_never_began(engine: Engine, queue: Queue) -> None:
    commands.cancel(engine, "one")
    found = read_summary(engine, "one")
    assert found.state is SweepState.CANCELLED
    assert found.stages[0].counts[SlotState.CANCELLED] == BUDGET
    assert found.stages[0].failed == ()
    assert found.epoch_s is None


def test_an_unknown_sweep_is_told(engine: Engine) -> None:
    with pytest.raises(SweepNotFound):
        read_summary(engine, "none")
