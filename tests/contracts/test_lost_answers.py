"""Every call that an outage may repeat: the answer to its commit is lost, and it is called again.

Each comes to the same as without, in the tables and in what it returns. The list is whole: a new
call that writes is missing here until somebody says what it comes to.
"""

import ast
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
from sqlalchemy import Engine, select

import storage.queue
from storage.engine import reading
from storage.errors import CommandRefused, SweepNotFound
from storage.optuna.storage import open_storage
from storage.optuna.studies import Studies
from storage.queue import commands, deleting, retrying, stages, sweeps, trials, workers
from storage.queue.leases import Lease
from storage.queue.queue import Queue
from storage.queue.settling import Settled
from storage.queue.stages import NewSlot, NewStage
from storage.states import SlotState
from storage.tables import attempts, epochs, slots
from storage.tables import stages as stages_table
from storage.tables import sweeps as sweeps_table
from storage.tables import workers as workers_table
from sweep.worker.retry import Retry
from sweep.worker.shutdown import Shutdown
from tests.contracts.test_projection import RESULT
from tests.contracts.test_queue import ME
from tests.lost_answers import losing
from tests.submission import submit

pytestmark = pytest.mark.slow

LR0 = {"lr0": optuna.distributions.FloatDistribution(0, 1)}
BEST = NewSlot(label="best", params={"lr0": 1.0})


class World:
    """A sweep of its own, in a database that others share, and a worker that comes to it."""

    def __init__(self, engine: Engine, optunas: optuna.storages.RDBStorage, name: str) -> None:
        self.engine, self.name = engine, name
        self.queue = Queue(engine)
        self.studies = Studies(optunas)
        self.study = f"{name}/search"

    def submitted(self) -> "World":
        submit(self.engine, self.name, budget=2, retrain=True)
        return self

    @property
    def sweep_id(self) -> int:
        return sweeps.get(self.engine, self.name).id

    def claim(self) -> Lease | None:
        return self.queue.claim("w", ME, names=[self.name], device_kind="cpu")

    def lease(self) -> Lease:
        self.submitted()
        lease = self.claim()
        assert lease is not None
        return lease

    def epoch(self, lease: Lease) -> Any:
        return self.queue.record_epoch(lease, epoch=1, map50=0.1, map50_95=0.1, report={"a": 1})

    def settled(self) -> Settled:
        return self.queue.settle(self.lease(), SlotState.COMPLETE, result=RESULT, value=0.3)

    def failed(self) -> None:
        found = self.queue.fail(self.lease(), "oom", "no memory")
        assert found is not None
        self.queue.close(found)

    def search_over(self) -> int:
        """End the search; return the id of the stage that waits."""
        self.submitted()
        while (lease := self.claim()) is not None:
            self.queue.close(self.queue.settle(lease, SlotState.COMPLETE, result=RESULT))
        waiting = stages.finish_stages(self.engine, self.name)
        assert waiting is not None
        return waiting.id

    def with_study(self) -> "World":
        self.studies.ensure(self.study, metric="map50_95", attributes={"sweep": "one"})
        return self

    def begun(self) -> tuple[Lease, int]:
        """Begin a trial; return its id, too."""
        lease = self.lease()
        self.with_study()
        return lease, self.start(lease, begun_before=False)[0]

    def start(self, lease: Lease, *, begun_before: bool) -> tuple[int, int, Any]:
        trial_id, number, params = self.studies.start_trial(
            self.study,
            slot=lease.slot.id,
            known=None,
            begun_before=begun_before,
            params={"lr0": 0.5},
            distributions=LR0,
            suggest=lambda _: {},
            sampler=optuna.samplers.RandomSampler(),
        )
        self.queue.record_trial(lease, trial_id=trial_id, number=number, params=params)
        return trial_id, number, params

    def ended(self) -> Settled:
        """End a trial of which Optuna is not told."""
        lease, _ = self.begun()
        self.epoch(lease)
        return self.queue.settle(lease, SlotState.COMPLETE, result=RESULT, value=0.3)

    def content(self) -> dict[str, Any]:
        """Return all that is stored of the sweep, but for ids, times and tokens."""
        of_stages = select(stages_table.c.id).where(stages_table.c.sweep_id.in_(self._of_sweep))
        of_slots = select(slots.c.id).where(slots.c.stage_id.in_(of_stages))
        queries = {
            "sweeps": select(sweeps_table).where(sweeps_table.c.name == self.name),
            "stages": select(stages_table).where(stages_table.c.id.in_(of_stages)),
            "slots": select(slots).where(slots.c.id.in_(of_slots)),
            "attempts": select(attempts).where(attempts.c.slot_id.in_(of_slots)),
            "epochs": select(epochs).where(epochs.c.slot_id.in_(of_slots)),
            "workers": select(workers_table).where(workers_table.c.id == self.name),
        }
        with reading(self.engine) as connection:
            found = {
                name: sorted(
                    (comparable(dict(row._mapping)) for row in connection.execute(query)), key=repr
                )
                for name, query in queries.items()
            }
        return found | {"trials": self._trials()}

    @property
    def _of_sweep(self) -> Any:
        return select(sweeps_table.c.id).where(sweeps_table.c.name == self.name)

    def _trials(self) -> list[Any]:
        storage = self.studies._storage
        names = {study.study_name: study._study_id for study in storage.get_all_studies()}
        if self.study not in names:
            return []
        return [
            (trial.number, trial.state, trial.values, trial.params, trial.intermediate_values)
            for trial in storage.get_all_trials(names[self.study])
        ]


_OWN = ("id", "sweep_id", "stage_id", "slot_id", "trial_id", "claim", "slot", "sweep")
_TIMES = ("lease_until", "last_seen", "created_at", "study", "name", "host", "spec")


def comparable(found: Any) -> Any:
    """Return what two sweeps that fare the same have in common."""
    if dataclasses.is_dataclass(found) and not isinstance(found, type):
        found = dataclasses.asdict(found)
    if isinstance(found, dict):
        return {
            key: comparable(value)
            for key, value in found.items()
            if key not in (*_OWN, *_TIMES) and not key.endswith("_at")
        }
    return found


Act = Callable[[], Any]
Prepare = Callable[[World], Act]


def claim(world: World) -> Act:
    world.submitted()
    return world.claim


def renew(world: World) -> Act:
    lease = world.lease()
    return lambda: world.queue.renew(lease)


def record_trial(world: World) -> Act:
    lease = world.lease()
    return lambda: world.queue.record_trial(lease, trial_id=7, number=0, params={"lr0": 1})


def record_epoch(world: World) -> Act:
    lease = world.lease()
    return lambda: world.epoch(lease)


def begin_anew(world: World) -> Act:
    lease = world.lease()
    world.epoch(lease)
    world.queue.release(lease, "preempted")
    again = world.claim()
    assert again is not None
    return lambda: world.queue.begin_anew(again)


def record_decision(world: World) -> Act:
    lease = world.lease()
    world.epoch(lease)
    return lambda: world.queue.record_decision(lease, epoch=1, decision="prune")


def settle(world: World) -> Act:
    lease = world.lease()
    return lambda: world.queue.settle(lease, SlotState.COMPLETE, result=RESULT, value=0.3)


def fail(world: World) -> Act:
    lease = world.lease()
    return lambda: world.queue.fail(lease, "crashed", "boom", retries=0)


def fail_with_a_retry(world: World) -> Act:
    lease = world.lease()
    return lambda: world.queue.fail(lease, "crashed", "boom", retries=1)


def release(world: World) -> Act:
    lease = world.lease()
    return lambda: world.queue.release(lease, "preempted", "told to")


def release_when_cancelled(world: World) -> Act:
    lease = world.lease()
    commands.cancel(world.engine, world.name)
    return lambda: world.queue.release(lease, "preempted")


def close(world: World) -> Act:
    settled = world.settled()
    return lambda: world.queue.close(settled)


def pause(world: World) -> Act:
    world.submitted()
    return lambda: commands.pause(world.engine, world.name)


def resume(world: World) -> Act:
    world.submitted()
    commands.pause(world.engine, world.name)
    return lambda: commands.resume(world.engine, world.name)


def cancel(world: World) -> Act:
    world.lease()
    return lambda: commands.cancel(world.engine, world.name)


def set_priority(world: World) -> Act:
    world.submitted()
    return lambda: commands.set_priority(world.engine, world.name, 7)


def retry(world: World) -> Act:
    world.failed()

    def act() -> None:
        try:
            retrying.retry(world.engine, world.name)
        except CommandRefused as refused:  # a user asks again
            assert "has no failed trial" in str(refused)

    return act


def mark(world: World) -> Act:
    world.submitted()
    return lambda: deleting.mark(world.engine, world.name)


def remove_slots(world: World) -> Act:
    mark(world)()
    return lambda: deleting.remove_slots(world.engine, world.name)


def remove(world: World) -> Act:
    remove_slots(world)()

    def act() -> None:
        with suppress(SweepNotFound):  # a user asks again
            deleting.remove(world.engine, world.name)

    return act


def finish_stages(world: World) -> Act:
    world.search_over()
    return lambda: stages.finish_stages(world.engine, world.name)


def open_stage(world: World) -> Act:
    waiting = world.search_over()
    return lambda: stages.open_stage(world.engine, waiting, [BEST])


def create(world: World) -> Act:
    return lambda: submit(world.engine, world.name, budget=2, retrain=True)


def add_stage(world: World) -> Act:
    world.search_over()
    new = NewStage(name="retrain-2", study=f"{world.name}/retrain-2", epochs=3, slots=[BEST])
    return lambda: sweeps.add_stage(world.engine, world.name, new)


def replace_trial(world: World) -> Act:
    record_trial(world)()
    (slot,) = (
        slot
        for stage, *_ in stages.begun_stages(world.engine, world.name)
        for slot in trials.begun(world.engine, stage)
    )
    return lambda: trials.replace_trial(world.engine, slot, trial_id=9, number=1)


def seen(world: World) -> Act:
    return lambda: workers.seen(world.engine, world.name, host="h", device="cpu", slot=None)


def gone(world: World) -> Act:
    seen(world)()
    return lambda: workers.gone(world.engine, world.name)


def forget(world: World) -> Act:
    seen(world)()
    return lambda: workers.forget(world.engine, unseen_s=-1.0)


def remove_study(world: World) -> Act:
    world.ended()
    return lambda: world.studies.remove(world.study)


def ensure(world: World) -> Act:
    return lambda: world.studies.ensure(
        world.study, metric="map50_95", attributes={"sweep": "one"}, note="a study"
    )


def note(world: World) -> Act:
    world.with_study()
    return lambda: world.studies.note(world.study, "a study")


def note_trial(world: World) -> Act:
    _, trial_id = world.begun()
    return lambda: world.studies.note_trial(world.study, trial_id, 0, "a trial")


def start_trial(world: World) -> Act:
    lease = world.lease()
    world.with_study()
    calls = itertools.count()
    return lambda: world.start(lease, begun_before=next(calls) > 0)[1:]


def make_up_to(world: World) -> Act:
    slot = world.lease().slot
    world.with_study()
    return lambda: world.studies.make_up_to(world.engine, slot, distributions=LR0)[1:]  # type: ignore[index]


def report(world: World) -> Act:
    _, trial_id = world.begun()
    return lambda: world.studies.report(trial_id, epoch=1, value=0.1)


def project(world: World) -> Act:
    settled = world.ended()
    return lambda: world.studies.project(settled, objective="map50_95", values={1: 0.1, 2: 0.3})


def bury_strays(world: World) -> Act:
    lease, _ = world.begun()
    return lambda: world.studies.bury_strays(world.study, {lease.slot.id: None})


def supersede(world: World) -> Act:
    _, trial_id = world.begun()
    return lambda: world.studies.supersede(trial_id, by=4)


OF_THE_QUEUE: dict[str, list[Prepare]] = {
    "queue.Queue._claimed": [claim],
    "queue.Queue.renew": [renew],
    "queue.Queue.record_trial": [record_trial],
    "queue.Queue.record_epoch": [record_epoch],
    "queue.Queue.begin_anew": [begin_anew],
    "queue.Queue.record_decision": [record_decision],
    "queue.Queue.settle": [settle],
    "queue.Queue.fail": [fail, fail_with_a_retry],
    "queue.Queue.release": [release, release_when_cancelled],
    "queue.Queue.close": [close],
    "commands.pause": [pause],
    "commands.resume": [resume],
    "commands.cancel": [cancel],
    "commands.set_priority": [set_priority],
    "deleting.mark": [mark],
    "deleting.remove_slots": [remove_slots],
    "deleting.remove": [remove],
    "retrying.retry": [retry],
    "stages.finish_stages": [finish_stages],
    "stages.open_stage": [open_stage],
    "sweeps.create": [create],
    "sweeps.add_stage": [add_stage],
    "trials.replace_trial": [replace_trial],
    "workers.seen": [seen],
    "workers.gone": [gone],
    "workers.forget": [forget],
}
OF_OPTUNA: dict[str, list[Prepare]] = {
    "ensure": [ensure],
    "note": [note],
    "note_trial": [note_trial],
    "make_trial": [],  # a part of `start_trial` and of restoring, which look for what they made
    "make_up_to": [make_up_to],
    "start_trial": [start_trial],
    "report": [report],
    "project": [project],
    "bury_strays": [bury_strays],
    "supersede": [supersede],
    "remove": [remove_study],
}
READS_OF_OPTUNA = {"exists", "count", "trials", "owned_by", "should_prune", "forget"}
TELLS_WHETHER_IT_CHANGED = (
    *(pause, resume, cancel, open_stage, create, replace_trial, remove_slots),
)
"""A call again says truly that there was nothing to do."""
CALLS = [call for calls in (OF_THE_QUEUE | OF_OPTUNA).values() for call in calls]


@pytest.fixture
def worlds(engine: Engine, storage_url: str) -> Iterator[Callable[[str], World]]:
    optunas = open_storage(storage_url, engine)
    yield lambda name: World(engine, optunas, name)


@pytest.mark.parametrize("prepare", CALLS, ids=lambda call: call.__name__)
def test_a_call_whose_answer_was_lost_may_be_repeated(
    engine: Engine, worlds: Callable[[str], World], prepare: Prepare
) -> None:
    world = worlds("answered")
    act = prepare(world)
    with losing(engine, None) as commits:
        expected = comparable(act())
    assert commits.count > 0
    content = world.content()
    for lost in range(commits.count):
        world = worlds(f"lost-{lost}")
        act = prepare(world)
        with losing(engine, lost) as losses:
            found = comparable(Retry(Shutdown(), sleep=lambda _: None)(act))
        assert losses.lost == lost
        assert world.content() == content
        assert found == expected or prepare in TELLS_WHETHER_IT_CHANGED


def test_every_call_to_the_queue_that_writes_is_in_the_list() -> None:
    folder = Path(storage.queue.__file__).parent
    assert set(OF_THE_QUEUE) == {
        f"{file.stem}.{name}" for file in folder.glob("*.py") for name in _writing(file)
    }


def _writing(file: Path) -> Iterator[str]:
    """Yield the functions of a module that begin a transaction that writes."""

    def within(node: ast.AST, inside: str) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            name = inside
            if isinstance(child, ast.ClassDef | ast.FunctionDef):
                name = f"{inside}.{child.name}".removeprefix(".")
            if isinstance(child, ast.With) and any(
                ast.unparse(item.context_expr).startswith("writing(") for item in child.items
            ):
                yield inside
            yield from within(child, name)

    yield from set(within(ast.parse(file.read_text()), ""))


def test_every_call_to_optuna_that_writes_is_in_the_list() -> None:
    public = {name for name in vars(Studies) if not name.startswith("_")}
    assert set(OF_OPTUNA) == public - READS_OF_OPTUNA
