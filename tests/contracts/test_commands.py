"""Pause, resume, cancel, priorities and retries, on every database."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from storage.errors import CommandRefused
from storage.queue import commands, retrying, stages, sweeps
from storage.queue.leases import Lease
from storage.queue.queue import Queue
from storage.queue.settling import Settled
from storage.queue.stages import NewSlot, NewStage
from storage.snapshot.reader import read_sweep
from storage.states import SlotState, SweepState
from tests.contracts.test_queue import ME, NOBODY, RESULT, claimed
from tests.submission import submit


def test_a_paused_sweep_is_not_served_until_it_is_resumed(engine: Engine) -> None:
    submit(engine)
    queue = Queue(engine)
    lease = claimed(queue)
    commands.pause(engine, "one")
    assert queue.claim("other", ME) is None
    standing = queue.record_epoch(lease, epoch=1, map50=0.1, map50_95=0.1, report={})
    assert standing.sweep is SweepState.PAUSED
    queue.release(lease, "paused")
    commands.resume(engine, "one")
    assert claimed(queue).attempt == 2


def test_a_cancelled_sweep_ends_its_queued_slots_and_keeps_what_is_complete(engine: Engine) -> None:
    submit(engine, budget=3)
    queue = Queue(engine)
    queue.close(queue.settle(claimed(queue), SlotState.COMPLETE, result=RESULT))
    running = claimed(queue)
    commands.cancel(engine, "one")
    assert queue.sweep_state(running) is SweepState.CANCELLED
    queue.close(queue.settle(running, SlotState.CANCELLED))
    (stage,) = read_sweep(engine, "one").stages
    assert [slot.state for slot in stage.slots] == ["complete", "cancelled", "cancelled"]
    assert stages.all_closed(engine, stage.id)
    with pytest.raises(CommandRefused, match="is cancelled and cannot become active"):
        commands.resume(engine, "one")


def test_a_command_says_whether_it_changed_anything(engine: Engine) -> None:
    submit(engine, budget=1)
    assert not commands.resume(engine, "one")
    assert [commands.pause(engine, "one") for _ in range(2)] == [True, False]
    assert [commands.resume(engine, "one") for _ in range(2)] == [True, False]
    assert [commands.cancel(engine, "one") for _ in range(2)] == [True, False]
    with pytest.raises(CommandRefused, match="is cancelled and cannot become paused"):
        commands.pause(engine, "one")


def test_a_sweep_that_is_done_cannot_be_cancelled(engine: Engine) -> None:
    submit(engine, budget=1)
    queue = Queue(engine)
    settled = queue.settle(claimed(queue), SlotState.COMPLETE, result=RESULT)
    assert settled is not None
    queue.close(settled)
    assert stages.finish_stages(engine, "one") is None
    with pytest.raises(CommandRefused, match="'one' is done and cannot become cancelled any more"):
        commands.cancel(engine, "one")


def test_the_sweep_with_the_highest_priority_is_served_first(engine: Engine) -> None:
    for name in ("one", "two"):
        submit(engine, name, budget=1)
    commands.set_priority(engine, "two", 5)
    queue = Queue(engine)
    assert [claimed(queue).slot.sweep for _ in range(2)] == ["two", "one"]


def test_a_failed_attempt_is_tried_again_while_retries_are_left(engine: Engine) -> None:
    submit(engine, budget=1)
    queue = Queue(engine)
    both = ("crashed", "hung")
    assert queue.fail(claimed(queue), "crashed", "boom", retries=1, counted=both) is None
    settled = queue.fail(claimed(queue), "hung", "silent", retries=1, counted=both)
    assert settled is not None
    assert (settled.state, settled.failure_kind, settled.attempt) == ("failed", "hung", 2)
    (stage,) = read_sweep(engine, "one").stages
    assert stage.endings == {"crashed": 1, "hung": 1}


def test_slots_of_dead_workers_are_taken_before_queued_ones(engine: Engine) -> None:
    submit(engine, budget=2)
    dead = replace(ME, pid=2**22 + 1)
    claimed(Queue(engine), dead)
    lease = claimed(Queue(engine))
    assert (lease.slot.ordinal, lease.attempt, lease.lost) == (0, 2, 1)
    claimed(Queue(engine), NOBODY)


GIVING_BACK: dict[str, Callable[[Queue, Lease], Settled | None]] = {
    "release": lambda queue, lease: queue.release(lease, "preempted"),
    "a retry left": lambda queue, lease: queue.fail(lease, "crashed", "boom", retries=1),
}


@pytest.mark.parametrize("give_back", GIVING_BACK.values(), ids=GIVING_BACK)
def test_a_slot_given_back_to_a_cancelled_sweep_is_cancelled(
    engine: Engine, give_back: Callable[[Queue, Lease], Settled | None]
) -> None:
    submit(engine, budget=2)
    queue = Queue(engine)
    lease = claimed(queue)
    commands.cancel(engine, "one")
    settled = give_back(queue, lease)
    assert settled is not None
    assert (settled.state, settled.failure_kind) == (SlotState.CANCELLED, "cancelled")
    assert settled.message == "the sweep was cancelled"
    assert give_back(queue, lease) == settled, "told again, it is no other"
    queue.close(settled)
    (stage,) = read_sweep(engine, "one").stages
    assert {slot.state for slot in stage.slots} == {SlotState.CANCELLED}
    assert stage.endings == {"cancelled": 1}


def test_in_a_cancelled_sweep_no_stage_opens(engine: Engine) -> None:
    submit(engine, budget=1, retrain=True)
    queue = Queue(engine)
    queue.close(queue.settle(claimed(queue), SlotState.COMPLETE, result=RESULT))
    waiting = stages.finish_stages(engine, "one")
    assert waiting is not None
    commands.cancel(engine, "one")
    assert not stages.open_stage(engine, waiting.id, [NewSlot(label="best", params={"lr0": 1})])
    assert stages.finish_stages(engine, "one") is None
    assert [len(stage.slots) for stage in read_sweep(engine, "one").stages] == [1, 0]


def test_a_cancelled_sweep_takes_no_new_stage(engine: Engine) -> None:
    submit(engine, budget=1)
    commands.cancel(engine, "one")
    stage = NewStage(name="retrain", study="one/retrain", epochs=3)
    with pytest.raises(CommandRefused, match=r"'one' was cancelled, .* under another `name`"):
        sweeps.add_stage(engine, "one", stage)
    assert len(read_sweep(engine, "one").stages) == 1


def test_a_cancelled_sweep_whose_trials_have_all_ended_is_known_until_its_stages_are_done(
    engine: Engine,
) -> None:
    submit(engine, budget=2)
    lease = claimed(Queue(engine))
    commands.cancel(engine, "one")
    assert (sweeps.ending(engine), sweeps.ended(engine)) == (["one"], [])
    Queue(engine).close(Queue(engine).settle(lease, SlotState.CANCELLED))
    assert (sweeps.ending(engine), sweeps.ended(engine)) == ([], ["one"])
    stages.finish_stages(engine, "one")
    assert sweeps.ended(engine) == []


def test_what_was_told_before_a_slot_was_queued_again_closes_nothing(engine: Engine) -> None:
    submit(engine, budget=1)
    queue = Queue(engine)
    failed = queue.fail(claimed(queue), "oom", "no memory")
    assert failed is not None
    queue.close(failed)
    retrying.retry(engine, "one")
    queue.settle(claimed(queue), SlotState.COMPLETE, result=RESULT)
    queue.close(failed)  # its answer was lost, so it is called again
    assert queue.unclosed() == ["one"]
