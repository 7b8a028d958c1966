"""What every database behind the queue must keep to."""

import multiprocessing
from dataclasses import replace

import pytest
from sqlalchemy import Engine, update

from storage.database import Database
from storage.engine import now_s, writing
from storage.errors import LeaseLost, SweepExists, SweepNotFound
from storage.process_identity import ProcessIdentity
from storage.queue import stages, sweeps, workers
from storage.queue.leases import Lease
from storage.queue.queue import Queue
from storage.queue.stages import NewSlot, NewStage
from storage.snapshot.reader import read_sweep
from storage.states import SlotState, StageState, SweepState
from storage.tables import slots
from tests.submission import submit

ME = ProcessIdentity.current()
NOBODY = ProcessIdentity(host="elsewhere", boot_id="x", pid_namespace="y", pid=1, started_at=0.0)
RESULT = {"map50": 0.5, "map50_95": 0.3}


class Clock:
    """A monotonic clock that moves when told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def claimed(queue: Queue, owner: ProcessIdentity = ME, **options: object) -> Lease:
    lease = queue.claim("worker", owner, **options)  # type: ignore[arg-type]
    assert lease is not None
    return lease


def let_lease_expire(engine: Engine, lease: Lease) -> None:
    with writing(engine) as connection:
        connection.execute(
            update(slots).where(slots.c.id == lease.slot.id).values(lease_until=now_s() - 1)
        )


def test_the_budget_is_there_whole_and_once(engine: Engine) -> None:
    assert submit(engine, budget=5)
    assert not submit(engine, budget=7)
    (stage,) = read_sweep(engine, "one").stages
    assert [slot.params for slot in stage.slots] == [{"lr0": 1 / (n + 1)} for n in range(5)]
    assert {slot.state for slot in stage.slots} == {SlotState.QUEUED}


def test_slots_are_claimed_in_order_each_once(engine: Engine) -> None:
    submit(engine, budget=3)
    queue = Queue(engine)
    assert [claimed(queue).slot.ordinal for _ in range(3)] == [0, 1, 2]
    assert queue.claim("worker", ME) is None


def test_older_sweeps_come_first_and_names_choose(engine: Engine) -> None:
    submit(engine, "one", budget=1)
    submit(engine, "two", budget=1)
    queue = Queue(engine)
    assert claimed(queue, names=["two"]).slot.sweep == "two"
    assert claimed(queue).slot.sweep == "one"


def test_a_settled_slot_keeps_its_result_and_state(engine: Engine) -> None:
    submit(engine, budget=1)
    queue = Queue(engine)
    lease = claimed(queue)
    settled = queue.settle(lease, SlotState.COMPLETE, result=RESULT)
    assert settled.result == RESULT
    for change in (
        lambda: queue.settle(lease, SlotState.FAILED),
        lambda: queue.release(lease, "preempted"),
        lambda: queue.renew(lease),
    ):
        with pytest.raises(LeaseLost):
            change()
    (slot,) = read_sweep(engine, "one").stages[0].slots
    assert (slot.state, slot.result, slot.attempt) == (SlotState.COMPLETE, RESULT, 1)
    assert slot.finished_at is not None


def test_a_released_slot_is_claimed_again_with_a_higher_token(engine: Engine) -> None:
    submit(engine, budget=1)
    queue = Queue(engine)
    first = claimed(queue)
    queue.release(first, "preempted")
    second = claimed(queue)
    assert (first.attempt, second.attempt) == (1, 2)
    with pytest.raises(LeaseLost):
        queue.record_epoch(first, epoch=1, map50=0.1, map50_95=0.1, report={})


def test_a_slot_of_a_process_dead_on_this_host_is_taken_at_once(engine: Engine) -> None:
    submit(engine, budget=1)
    process = multiprocessing.get_context("spawn").Process(
        target=_claim_and_die, args=(engine.url,)
    )
    process.start()
    process.join()
    taken = claimed(Queue(engine))
    assert (taken.slot.ordinal, taken.attempt) == (0, 2)


def _claim_and_die(url: object) -> None:
    claimed(Database.open(str(url)).queue, ProcessIdentity.current())


def test_a_live_lease_is_left_alone(engine: Engine) -> None:
    submit(engine, budget=1)
    claimed(Queue(engine), NOBODY)
    clock = Clock()
    queue = Queue(engine, clock=clock)
    assert queue.claim("other", ME) is None
    clock.seconds += 1e6
    assert queue.claim("other", ME) is None


def test_an_expired_lease_is_taken_when_seen_expired_a_renewal_apart(engine: Engine) -> None:
    submit(engine, budget=1)
    lost = claimed(Queue(engine), NOBODY)
    clock = Clock()
    queue = Queue(engine, clock=clock)
    let_lease_expire(engine, lost)
    assert queue.claim("other", ME) is None
    clock.seconds += queue.renewal_s / 2
    assert queue.claim("other", ME) is None
    clock.seconds += queue.renewal_s / 2
    taken = queue.claim("other", ME)
    assert taken is not None
    assert taken.attempt == 2
    with pytest.raises(LeaseLost):
        Queue(engine).renew(lost)


def test_a_lease_renewed_between_two_sightings_is_not_taken(engine: Engine) -> None:
    submit(engine, budget=1)
    lease = claimed(Queue(engine), NOBODY)
    clock = Clock()
    queue = Queue(engine, clock=clock)
    let_lease_expire(engine, lease)
    assert queue.claim("other", ME) is None
    Queue(engine).renew(lease)  # its owner was only asleep
    let_lease_expire(engine, lease)
    clock.seconds += queue.renewal_s
    assert queue.claim("other", ME) is None


def test_epochs_are_committed_once_and_their_decisions_hold(engine: Engine) -> None:
    submit(engine, budget=1)
    queue = Queue(engine)
    first = claimed(queue)
    standing = queue.record_epoch(first, epoch=1, map50=0.4, map50_95=0.2, report={"a": 1})
    assert (standing.decision, standing.sweep) == (None, SweepState.ACTIVE)
    queue.record_decision(first, epoch=1, decision="prune")
    queue.release(first, "preempted")
    second = claimed(queue)
    again = queue.record_epoch(second, epoch=1, map50=0.9, map50_95=0.9, report={"a": 2})
    assert again.decision == "prune"
    (epoch,) = read_sweep(engine, "one").stages[0].slots[0].epochs
    assert (epoch.map50, epoch.report, epoch.decision) == (0.4, {"a": 1}, "prune")


def test_a_settled_slot_is_projected_by_whoever_comes_after_its_owner(engine: Engine) -> None:
    submit(engine, budget=1)
    queue = Queue(engine)
    lease = claimed(queue)
    settled = queue.settle(lease, SlotState.COMPLETE, result=RESULT)
    assert queue.unprojected() == []  # its owner lives and is about to
    let_lease_expire(engine, lease)
    assert queue.unprojected() == [settled]
    assert queue.unprojected(names=["other"]) == []
    queue.close(settled)
    assert queue.unprojected() == []


def test_a_stage_opens_once_and_the_sweep_is_done_after_the_last(engine: Engine) -> None:
    submit(engine, budget=1, retrain=True)
    queue = Queue(engine)
    assert stages.finish_stages(engine, "one") is None
    queue.close(queue.settle(claimed(queue), SlotState.COMPLETE, result=RESULT))
    waiting = stages.finish_stages(engine, "one")
    assert waiting is not None
    assert waiting.name == "retrain"
    assert stages.open_stage(engine, waiting.id, [NewSlot(label="best", params={"lr0": 1})])
    assert not stages.open_stage(engine, waiting.id, [NewSlot(), NewSlot()])
    lease = claimed(queue)
    assert (lease.slot.stage, lease.slot.label, lease.slot.stage_epochs) == ("retrain", "best", 9)
    queue.close(queue.settle(lease, SlotState.FAILED, failure_kind="oom", message="no memory"))
    assert stages.finish_stages(engine, "one") is None
    record = read_sweep(engine, "one")
    assert record.state is SweepState.DONE
    assert [stage.state for stage in record.stages] == [StageState.DONE, StageState.DONE]
    assert sweeps.active(engine) == []


def test_a_stage_added_by_hand_makes_a_done_sweep_active_again(engine: Engine) -> None:
    submit(engine, budget=1)
    queue = Queue(engine)
    queue.close(queue.settle(claimed(queue), SlotState.COMPLETE, result=RESULT))
    stages.finish_stages(engine, "one")
    stage = NewStage(name="retrain", study="one/retrain", epochs=3)
    sweeps.add_stage(engine, "one", stage)
    assert sweeps.active(engine) == ["one"]
    sweeps.add_stage(engine, "one", stage)  # the same again
    with pytest.raises(SweepExists, match="has another stage 'retrain' already"):
        sweeps.add_stage(engine, "one", replace(stage, epochs=4))
    assert [found.name for found in read_sweep(engine, "one").stages] == ["search", "retrain"]


def test_an_unknown_sweep_is_told_with_those_there_are(engine: Engine) -> None:
    submit(engine)
    with pytest.raises(SweepNotFound, match="there are: one"):
        read_sweep(engine, "oen")


def test_workers_are_seen_until_they_leave(engine: Engine) -> None:
    submit(engine)
    lease = claimed(Queue(engine))
    workers.seen(engine, "w", host="h", device="cpu", slot=None)
    workers.seen(engine, "w", host="h", device="cpu", slot=lease.slot.id)
    assert workers.count(engine, seen_within_s=60) == 1
    (worker,) = read_sweep(engine, "one").workers
    assert (worker.id, worker.slot) == ("w", lease.slot.id)
    assert worker.last_seen_s < 60
    workers.gone(engine, "w")
    assert read_sweep(engine, "one").workers == ()
    assert workers.count(engine, seen_within_s=60) == 0


PROCESSES, BUDGET = 4, 60


@pytest.mark.slow
def test_many_processes_claim_every_slot_exactly_once(engine: Engine) -> None:
    submit(engine, budget=BUDGET)
    context = multiprocessing.get_context("spawn")
    with context.Pool(PROCESSES) as pool:
        claims = pool.map(_claim_and_settle_all, [str(engine.url)] * PROCESSES)
    assert sorted(ordinal for one in claims for ordinal in one) == list(range(BUDGET))
    (stage,) = read_sweep(engine, "one").stages
    assert {(slot.state, slot.attempt) for slot in stage.slots} == {(SlotState.COMPLETE, 1)}


def _claim_and_settle_all(url: str) -> list[int]:
    queue = Database.open(url).queue
    ordinals = []
    while (lease := queue.claim("w", ProcessIdentity.current())) is not None:
        queue.close(queue.settle(lease, SlotState.COMPLETE, result=RESULT))
        ordinals.append(lease.slot.ordinal)
    return ordinals
