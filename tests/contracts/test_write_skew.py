"""What two transactions on PostgreSQL that overlap make of a sweep, whichever comes first.

On SQLite they cannot overlap: the writer has the whole database.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Engine, update

from storage.database import Database
from storage.engine import connectable_engine, writing
from storage.errors import CommandRefused
from storage.queue import commands, retrying, stages, sweeps
from storage.queue.queue import Queue
from storage.queue.stages import NewSlot, NewStage
from storage.snapshot.reader import read_sweep
from storage.snapshot.records import SweepRecord
from storage.states import SlotState, StageState, SweepState
from storage.tables import slots
from tests.contracts.test_queue import ME, RESULT, claimed
from tests.interleaving import inside
from tests.postgres import Postgres
from tests.submission import submit

pytestmark = pytest.mark.slow

RETRAIN = NewStage(name="retrain-2", study="one/retrain-2", epochs=3)
Act = Callable[[Engine], Any]


@pytest.fixture
def engines(postgres: Postgres) -> Iterator[tuple[Engine, Engine]]:
    """Two processes' access to one database."""
    name = f"test_{uuid.uuid4().hex}"
    url = postgres.create_database(name)
    both = Database.open(url).engine, connectable_engine(url)
    yield both
    for engine in both:
        engine.dispose()
    postgres.drop_database(name)


class Sweep:
    """A sweep with a search of two trials and a waiting retraining, and a worker at a trial."""

    def __init__(self, engine: Engine) -> None:
        submit(engine, budget=2, retrain=True)
        self.lease = claimed(Queue(engine))

    def bring_to(self, engine: Engine, point: int) -> None:
        """Bring it to its beginning (0), the end of its search (1) or that of all stages (2).

        The step that tells that the stage is done is left out.
        """
        queue = Queue(engine)
        if point >= 1:
            queue.close(queue.settle(self.lease, SlotState.COMPLETE, result=RESULT))
            failed = queue.fail(claimed(queue), "oom", "no memory")
            assert failed is not None
            queue.close(failed)
        if point >= 2:
            stages.finish_stages(engine, "one")
            _open(engine)
            queue.close(queue.settle(claimed(queue), SlotState.COMPLETE, result=RESULT))

    def acts(self) -> dict[str, tuple[int, Act]]:
        """What is done to it, each with how far it must be for it."""
        return {
            "finish": (2, lambda engine: stages.finish_stages(engine, "one")),
            "retrain": (2, lambda engine: sweeps.add_stage(engine, "one", RETRAIN)),
            "retry": (1, lambda engine: retrying.retry(engine, "one")),
            "open": (1, _open),
            "cancel": (0, lambda engine: commands.cancel(engine, "one")),
            "pause": (0, lambda engine: commands.pause(engine, "one")),
            "claim": (0, lambda engine: Queue(engine).claim("other", ME)),
            "give back": (0, lambda engine: Queue(engine).release(self.lease, "preempted")),
            "retry left": (
                0,
                lambda engine: Queue(engine).fail(self.lease, "crashed", "boom", retries=1),
            ),
        }


def _open(engine: Engine) -> None:
    """Open the stage that waits, if one does."""
    for stage in read_sweep(engine, "one").stages:
        if stage.state is StageState.WAITING:
            stages.open_stage(engine, stage.id, [NewSlot(label="best", params={"lr0": 1})])


PAIRS = [
    ("finish", "retrain"),
    ("finish", "retry"),
    ("finish", "cancel"),
    ("retrain", "retry"),
    ("cancel", "retrain"),
    ("cancel", "retry"),
    ("cancel", "give back"),
    ("cancel", "retry left"),
    ("cancel", "open"),
    ("cancel", "pause"),
    ("cancel", "claim"),
    ("give back", "pause"),
]
ORDERS = [*PAIRS, *((second, first) for first, second in PAIRS)]


@pytest.mark.parametrize(("first", "second"), ORDERS, ids=[" then ".join(pair) for pair in ORDERS])
def test_what_overlaps_leaves_nothing_behind(
    engines: tuple[Engine, Engine], first: str, second: str
) -> None:
    engine, other = engines
    sweep = Sweep(engine)
    (from_first, do_first), (from_second, do_second) = (
        sweep.acts()[act] for act in (first, second)
    )
    sweep.bring_to(engine, max(from_first, from_second))

    inside(engine, _unless_refused(do_first), other, _unless_refused(do_second))
    end(engine)

    assert left_behind(read_sweep(engine, "one")) == []


def _unless_refused(act: Act) -> Act:
    def do(engine: Engine) -> None:
        with suppress(CommandRefused):
            act(engine)

    return do


def end(engine: Engine) -> None:
    """Do what workers do until there is nothing to do."""
    queue = Queue(engine)
    with suppress(CommandRefused):
        commands.resume(engine, "one")
    for _ in range(20):
        if stages.finish_stages(engine, "one") is not None:
            _open(engine)
        queue.claim("other", ME)
        with writing(engine) as connection:  # whoever trains comes to an end, and leaves
            running = slots.c.state == SlotState.RUNNING
            over = {"state": SlotState.COMPLETE, "unprojected": True}
            connection.execute(update(slots).where(running).values(**over))
            connection.execute(update(slots).values(owner=None))
        for settled in queue.unprojected():
            queue.close(settled)


def left_behind(record: SweepRecord) -> list[str]:
    """Tell of all that nobody will ever come back to."""
    queued = [
        f"slot {slot.ordinal} of {stage.name} is {slot.state}"
        for stage in record.stages
        for slot in stage.slots
        if slot.state is SlotState.QUEUED
    ]
    unfinished = [
        f"stage {stage.name} is {stage.state}"
        for stage in record.stages
        if stage.state is StageState.OPEN
        or (stage.state is StageState.WAITING and record.state is not SweepState.CANCELLED)
    ]
    over = record.state in (SweepState.DONE, SweepState.CANCELLED)
    return [*queued, *unfinished, *([] if over else [f"the sweep is {record.state}"])]
