"""A slot goes on where it was begun: on the same kind of device, or from its beginning."""

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from storage.errors import LeaseLost
from storage.queue import commands, kinds, retrying, workers
from storage.queue.leases import Lease
from storage.queue.queue import Queue
from storage.snapshot.reader import read_epochs, read_sweep
from storage.states import SlotState
from tests.contracts.test_queue import ME, Clock, claimed
from tests.submission import submit

DEAD = replace(ME, pid=2**22 + 1)


def begun(engine: Engine, *, kind: str = "cuda", owner: object = ME) -> Lease:
    """Claim the next slot on a kind of device and commit its first epoch."""
    lease = claimed(Queue(engine), owner, device_kind=kind)  # type: ignore[arg-type]
    record(engine, lease, 1)
    return lease


def record(engine: Engine, lease: Lease, epoch: int) -> None:
    Queue(engine).record_epoch(lease, epoch=epoch, map50=0.1, map50_95=0.1, report={"seconds": 1})


def seen(engine: Engine, worker: str, device: str) -> None:
    workers.seen(engine, worker, host="h", device=device, slot=None)


def epochs(engine: Engine) -> list[int]:
    return [found.epoch for found in read_sweep(engine, "one").stages[0].slots[0].epochs]


def test_a_slot_that_was_begun_waits_for_a_worker_of_its_kind(engine: Engine) -> None:
    submit(engine, budget=2)
    Queue(engine).release(begun(engine), "preempted")
    seen(engine, "gpu", "cuda:1")
    first = claimed(Queue(engine), device_kind="cpu")
    assert first.slot.ordinal == 1, "it takes what nobody has begun"
    assert Queue(engine).claim("cpu", ME, device_kind="cpu") is None
    again = claimed(Queue(engine), device_kind="cuda")
    assert (again.slot.ordinal, again.attempt, again.anew, again.since) == (0, 2, False, 0)


def test_where_no_worker_of_its_kind_is_left_it_begins_anew_on_another(engine: Engine) -> None:
    submit(engine, budget=2)
    Queue(engine).release(begun(engine), "preempted")
    seen(engine, "other", "cpu")
    assert claimed(Queue(engine), device_kind="cpu").slot.ordinal == 1
    lease = claimed(Queue(engine), device_kind="cpu")
    assert (lease.slot.ordinal, lease.attempt, lease.anew, lease.since) == (0, 2, True, 1)


def test_it_waits_for_no_worker_that_never_takes_it(engine: Engine) -> None:
    submit(engine, budget=1)
    Queue(engine).release(begun(engine), "preempted")
    seen(engine, "busy", "cuda:0")
    clock = Clock()
    queue = Queue(engine, clock=clock)
    assert queue.claim("cpu", ME, device_kind="cpu") is None
    clock.seconds += kinds.PATIENCE_S - 1
    assert queue.claim("cpu", ME, device_kind="cpu") is None
    clock.seconds += 1
    lease = queue.claim("cpu", ME, device_kind="cpu")
    assert lease is not None
    assert lease.anew


def test_a_slot_of_a_lost_worker_waits_so_too(engine: Engine) -> None:
    submit(engine, budget=1)
    begun(engine, owner=DEAD)
    seen(engine, "gpu", "cuda:0")
    assert Queue(engine).claim("cpu", ME, device_kind="cpu") is None
    workers.gone(engine, "gpu")
    lease = claimed(Queue(engine), device_kind="cpu")
    assert (lease.attempt, lease.anew, lease.lost) == (2, True, 1)


def test_in_a_cancelled_sweep_any_worker_ends_it(engine: Engine) -> None:
    submit(engine, budget=1)
    begun(engine, owner=DEAD)
    seen(engine, "gpu", "cuda:0")
    commands.cancel(engine, "one")
    assert claimed(Queue(engine), device_kind="cpu").attempt == 2


def test_a_slot_without_epochs_has_no_kind(engine: Engine) -> None:
    submit(engine, budget=1)
    seen(engine, "gpu", "cuda:0")
    Queue(engine).release(claimed(Queue(engine), device_kind="cuda"), "preempted")
    assert not claimed(Queue(engine), device_kind="cpu").anew


def test_a_slot_queued_again_by_hand_has_no_kind(engine: Engine) -> None:
    submit(engine, budget=1)
    seen(engine, "gpu", "cuda:0")
    failed = Queue(engine).fail(begun(engine), "oom", "no memory")
    assert failed is not None
    Queue(engine).close(failed)
    retrying.retry(engine, "one")
    lease = claimed(Queue(engine), device_kind="cpu")
    assert (lease.anew, lease.since) == (False, 2)


def test_epochs_of_another_kind_are_replaced_as_a_whole(engine: Engine) -> None:
    submit(engine, budget=1)
    lease = begun(engine)
    Queue(engine).record_trial(lease, trial_id=7, number=0, params={"lr0": 1.0})
    record(engine, lease, 2)
    Queue(engine).release(lease, "preempted")
    lease = claimed(Queue(engine), device_kind="cpu")
    assert epochs(engine) == [1, 2], "they stay until there are others"
    Queue(engine).begin_anew(lease)
    record(engine, lease, 1)
    Queue(engine).begin_anew(lease)  # its answer was lost
    assert epochs(engine) == [1]
    (slot,) = read_sweep(engine, "one").stages[0].slots
    assert (slot.epochs_from, slot.trial_number) == (2, None)
    Queue(engine).release(lease, "preempted")
    again = claimed(Queue(engine), device_kind="cpu")
    assert (again.attempt, again.anew, again.since) == (3, False, 1), "it is of this kind now"
    assert [found.epoch for found in read_epochs(engine, again.slot.id)] == [1]


def test_who_lost_the_slot_drops_nothing(engine: Engine) -> None:
    submit(engine, budget=1)
    late = begun(engine, owner=DEAD)
    claimed(Queue(engine), device_kind="cuda")
    with pytest.raises(LeaseLost):
        Queue(engine).begin_anew(late)
    assert epochs(engine) == [1]


def test_a_worker_that_does_not_say_what_it_trains_on_takes_any(engine: Engine) -> None:
    submit(engine, budget=1)
    seen(engine, "gpu", "cuda:0")
    Queue(engine).release(begun(engine), "preempted")
    lease = claimed(Queue(engine))
    assert (lease.attempt, lease.anew) == (2, False)
    assert read_sweep(engine, "one").stages[0].slots[0].state is SlotState.RUNNING
