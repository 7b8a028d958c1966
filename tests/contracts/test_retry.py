"""`sweep retry`: failed slots are queued again, and nothing else changes."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from storage.errors import CommandRefused, SweepNotFound
from storage.process_identity import ProcessIdentity
from storage.queue import commands, retrying
from storage.queue.leases import Lease
from storage.queue.queue import Queue
from storage.queue.stages import finish_stages, open_stage
from storage.snapshot.reader import read_epochs, read_sweep
from storage.snapshot.records import SlotRecord, StageRecord
from storage.states import SlotState, StageState, SweepState
from tests.submission import submit


def claimed(engine: Engine) -> Lease:
    lease = Queue(engine).claim("worker", ProcessIdentity.current())
    assert lease is not None
    return lease


def fail(engine: Engine, kind: str) -> int:
    """Fail the next slot after an epoch; return its id."""
    queue, lease = Queue(engine), claimed(engine)
    queue.record_trial(lease, trial_id=lease.slot.id, number=lease.slot.ordinal, params={"lr0": 1})
    queue.record_epoch(lease, epoch=1, map50=0.1, map50_95=0.1, report={"seconds": 1})
    settled = queue.fail(lease, kind, f"{kind}, alas")
    assert settled is not None
    queue.close(settled)
    return lease.slot.id


def stages(engine: Engine) -> tuple[StageRecord, ...]:
    return read_sweep(engine, "one").stages


def slot(engine: Engine, number: int) -> SlotRecord:
    return stages(engine)[0].slots[number]


def test_failed_slots_are_queued_again_and_begin_anew(engine: Engine) -> None:
    submit(engine, budget=2)
    first = fail(engine, "crashed")
    fail(engine, "oom")
    finish_stages(engine, "one")
    assert read_sweep(engine, "one").state is SweepState.DONE

    assert retrying.retry(engine, "one") == 2

    record = read_sweep(engine, "one")
    assert record.state is SweepState.ACTIVE
    assert record.stages[0].state is StageState.OPEN
    for again in record.stages[0].slots:
        assert again.state is SlotState.QUEUED
        assert (again.failure_kind, again.message, again.trial_number) == (None, None, None)
        assert again.finished_at is None
    assert read_epochs(engine, first) == []
    assert record.stages[0].endings == {"crashed": 1, "oom": 1, "retried": 2}
    lease = claimed(engine)
    assert lease.slot.id == first
    assert lease.slot.params == {"lr0": 1}, "it keeps its settings"
    assert lease.since == lease.attempt - 1, "and goes on from no attempt before"


def test_only_those_of_the_kinds_asked_for(engine: Engine) -> None:
    submit(engine, budget=3)
    for kind in ("crashed", "oom", "hung"):
        fail(engine, kind)
    assert retrying.retry(engine, "one", ["oom", "hung"]) == 2
    states = [found.state for found in stages(engine)[0].slots]
    assert states == [SlotState.FAILED, SlotState.QUEUED, SlotState.QUEUED]


def test_all_retries_are_there_again(engine: Engine) -> None:
    submit(engine, budget=1)
    queue = Queue(engine)
    assert queue.fail(claimed(engine), "oom", "first", retries=1) is None
    last = queue.fail(claimed(engine), "oom", "second", retries=1)
    assert last is not None
    queue.close(last)
    retrying.retry(engine, "one")
    assert queue.fail(claimed(engine), "oom", "third", retries=1) is None
    assert queue.fail(claimed(engine), "oom", "fourth", retries=1) is not None


def test_a_stage_that_had_nothing_to_do_is_planned_again(engine: Engine) -> None:
    submit(engine, budget=1, retrain=True)
    fail(engine, "crashed")
    waiting = finish_stages(engine, "one")
    assert waiting is not None
    open_stage(engine, waiting.id, [])  # nothing completed: there is no best to retrain
    finish_stages(engine, "one")
    assert [stage.state for stage in stages(engine)] == [StageState.DONE] * 2
    retrying.retry(engine, "one")
    assert [stage.state for stage in stages(engine)] == [StageState.OPEN, StageState.WAITING]


def test_a_slot_that_is_being_settled_is_left_to_it(engine: Engine) -> None:
    submit(engine, budget=1)
    Queue(engine).fail(claimed(engine), "crashed", "its worker has yet to tell Optuna")
    with pytest.raises(CommandRefused, match="has no failed trial"):
        retrying.retry(engine, "one")


@pytest.mark.parametrize(
    ("prepare", "kinds", "expected"),
    [
        (lambda _: None, [], "sweep 'one' has no failed trial to queue again"),
        (lambda engine: fail(engine, "oom"), ["hung"], r"failed so: hung; there are: oom \(1\)"),
        (lambda engine: commands.cancel(engine, "one"), [], "was cancelled, which is final"),
    ],
)
def test_where_there_is_nothing_to_retry_it_is_refused(
    engine: Engine, prepare: Callable[[Engine], object], kinds: list[str], expected: str
) -> None:
    submit(engine, budget=2)
    prepare(engine)
    before = read_sweep(engine, "one")
    with pytest.raises(CommandRefused, match=expected):
        retrying.retry(engine, "one", kinds)
    assert read_sweep(engine, "one") == before


def test_a_sweep_that_is_not_there_is_told(engine: Engine) -> None:
    with pytest.raises(SweepNotFound):
        retrying.retry(engine, "oen")


def test_a_paused_sweep_stays_paused(engine: Engine) -> None:
    submit(engine, budget=2)
    fail(engine, "oom")
    commands.pause(engine, "one")
    retrying.retry(engine, "one")
    assert read_sweep(engine, "one").state is SweepState.PAUSED
    assert slot(engine, 0).state is SlotState.QUEUED
