"""A worker does a whole sweep: whatever answer it misses, and whatever device had begun it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import Engine, delete, update

from storage.database import Database
from storage.engine import writing
from storage.queue import commands, sweeps
from storage.queue.leases import Lease
from storage.queue.queue import Queue
from storage.queue.sweeps import Submission
from storage.snapshot.reader import read_sweep
from storage.states import SlotState, StageState, SweepState
from storage.tables import slots, workers
from sweep import paths
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.plan import planned_stages
from sweep.testing import made_up_epoch
from sweep.training.contract import Device, EpochReport, TrialJob, TrialResult
from sweep.training.devices import Gpu
from sweep.training.process.messages import Completed, EpochDone, Message
from sweep.worker import attempt, readiness
from sweep.worker.retry import Retry
from sweep.worker.shutdown import Shutdown
from sweep.worker.worker import Worker
from tests.contracts.test_queue import ME
from tests.lost_answers import losing
from tests.puppet_child import PuppetChild, made_up, never_waiting, use_puppets


def queued(engine: Engine, name: str, runs: Path, **search: Any) -> None:
    spec = SweepSpec.model_validate(
        {
            "name": name,
            "trainer": "sweep.testing:instant_trainer",
            "search": {"epochs": 2, "space": {"lr0": [0.01]}} | search,
        }
    )
    submission = Submission(
        name=name,
        spec=spec.to_json(),
        spec_hash=spec.hash(),
        dataset=None,
        fingerprint="",
        runs=runs,
        model="none",
        model_sha256=None,
    )
    assert sweeps.create(engine, submission, planned_stages(spec))


@pytest.fixture
def database(engine: Engine, storage_url: str, monkeypatch: pytest.MonkeyPatch) -> Database:
    use_puppets(monkeypatch)
    never_waiting(monkeypatch, Retry)
    database = Database(url=storage_url, engine=engine, queue=Queue(engine))
    monkeypatch.setattr(Database, "rest", lambda _: None)  # one connection is quicker
    return database


def work(database: Database, name: str, device: Device | None = None) -> None:
    Worker(database, device=device or Device(), names=[name], drain=True, shutdown=Shutdown()).run()


def came_to(database: Database, name: str) -> dict[str, Any]:
    """Return what a sweep came to, in our tables and in Optuna's."""
    record = read_sweep(database.engine, name)
    slots = [slot for stage in record.stages for slot in stage.slots]
    storage = database.studies._storage
    trials = [
        trial
        for stage in record.stages
        for trial in storage.get_all_trials(storage.get_study_id_from_name(stage.study))
    ]
    return {
        "state": record.state,
        "slots": [(slot.state, slot.attempt, slot.value, slot.trial_number) for slot in slots],
        "endings": [stage.endings for stage in record.stages],
        "epochs": [[(e.epoch, e.map50, e.decision) for e in slot.epochs] for slot in slots],
        "trials": [
            (trial.number, trial.state, trial.value, trial.intermediate_values) for trial in trials
        ],
    }


PARTS = 8


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_a_worker_that_misses_an_answer_comes_to_the_same(
    engine: Engine, database: Database, tmp_path: Path, part: int
) -> None:
    queued(engine, "answered", tmp_path / "runs")
    with losing(engine, None) as commits:
        work(database, "answered")
    expected = came_to(database, "answered")
    assert expected["state"] is SweepState.DONE
    assert {state for state, *_ in expected["slots"]} == {SlotState.COMPLETE}
    assert {state for _, state, *_ in expected["trials"]} == {TrialState.COMPLETE}
    for lost in range(part, commits.count, PARTS):
        queued(engine, f"lost-{lost}", tmp_path / "runs")
        with losing(engine, lost) as losses:
            work(database, f"lost-{lost}")
        assert losses.lost == lost
        assert came_to(database, f"lost-{lost}") == expected, lost


class Killed(BaseException):
    """What ends a worker without a word."""


def dies_on_a_gpu(job: TrialJob, epoch: int) -> EpochReport:
    """Come to other numbers on a GPU, save a checkpoint there, and die in epoch 3."""
    report = made_up(job, epoch)
    if job.device.kind == "cpu":
        return report
    if epoch == 3:
        raise Killed
    job.run_folder.mkdir(parents=True, exist_ok=True)
    (job.run_folder / paths.CHECKPOINT).touch()
    return replace(report, map50_95=report.map50_95 / 2)


@pytest.fixture
def begun_on_a_gpu(
    engine: Engine, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let a worker with a GPU die in the one trial of the sweep `one`; there is no other GPU."""
    use_puppets(monkeypatch, dies_on_a_gpu)
    monkeypatch.setattr(readiness, "visible_gpus", lambda: [Gpu(index=0, name="a GPU")])
    queued(engine, "one", tmp_path / "runs", epochs=4)
    with pytest.raises(Killed):
        work(database, "one", Device(kind="cuda"))
    its_worker_is_gone(engine)


@pytest.mark.usefixtures("begun_on_a_gpu")
def test_a_slot_begun_on_a_device_that_is_gone_is_trained_anew_as_a_whole(
    engine: Engine, database: Database, tmp_path: Path
) -> None:
    work(database, "one")

    record = read_sweep(engine, "one")
    assert record.state is SweepState.DONE
    (slot,) = record.stages[0].slots
    assert (slot.state, slot.attempt, slot.epochs_from) == (SlotState.COMPLETE, 2, 2)
    cpu = [made_up_epoch({"lr0": 0.01}, seed=0, epoch=epoch).map50_95 for epoch in range(1, 5)]
    assert [epoch.map50_95 for epoch in slot.epochs] == cpu
    first, second = optuna.load_study(study_name="one/search", storage=database.url).trials
    assert (first.state, second.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert first.user_attrs["superseded_by"] == second.number == slot.trial_number
    assert list(second.intermediate_values.values()) == cpu
    assert not list((tmp_path / "runs").rglob(paths.CHECKPOINT))


def die(*_: Any, **__: Any) -> None:
    raise Killed


def its_worker_is_gone(engine: Engine) -> None:
    dead = vars(replace(ME, pid=2**22 + 1))
    with writing(engine) as connection:
        connection.execute(update(slots).values(owner=dead))
        connection.execute(delete(workers))


def test_a_trial_that_its_worker_never_said_to_have_begun_ends_with_its_slot(
    engine: Engine, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(engine, "one", tmp_path / "runs")
    with monkeypatch.context() as dying, pytest.raises(Killed):
        dying.setattr(Queue, "record_trial", die)
        work(database, "one")
    commands.cancel(engine, "one")
    its_worker_is_gone(engine)
    work(database, "one")
    (slot,) = read_sweep(engine, "one").stages[0].slots
    assert (slot.state, slot.trial_number) == (SlotState.CANCELLED, 0)
    (trial,) = optuna.load_study(study_name="one/search", storage=database.url).trials
    assert trial.state is TrialState.FAIL
    assert "superseded_by" not in trial.user_attrs


@pytest.mark.usefixtures("begun_on_a_gpu")
def test_a_trial_of_a_slot_that_ended_without_one_is_buried(
    engine: Engine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = Queue.record_trial

    def die_anew(queue: Queue, lease: Lease, *, number: int, **values: Any) -> None:
        if number > 0:
            raise Killed
        noted(queue, lease, number=number, **values)

    with monkeypatch.context() as dying, pytest.raises(Killed):
        dying.setattr(Queue, "record_trial", die_anew)
        work(database, "one")
    commands.cancel(engine, "one")
    its_worker_is_gone(engine)
    work(database, "one")

    (slot,) = read_sweep(engine, "one").stages[0].slots
    assert (slot.state, slot.trial_number) == (SlotState.CANCELLED, None)
    trials = optuna.load_study(study_name="one/search", storage=database.url).trials
    assert [trial.state for trial in trials] == [TrialState.FAIL] * 2
    assert [trial.user_attrs["superseded_by"] for trial in trials] == [1, None]


def test_a_worker_brings_a_cancelled_sweep_that_nobody_trains_to_its_end(
    engine: Engine, database: Database, tmp_path: Path
) -> None:
    queued(engine, "one", tmp_path / "runs")
    commands.cancel(engine, "one")
    work(database, "one")
    record = read_sweep(engine, "one")
    assert [stage.state for stage in record.stages] == [StageState.DONE]


def test_checkpoints_are_gone_before_a_slot_is_closed(
    engine: Engine, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def saving(job: TrialJob, epoch: int) -> EpochReport:
        job.run_folder.mkdir(parents=True, exist_ok=True)
        (job.run_folder / paths.CHECKPOINT).touch()
        return made_up(job, epoch)

    use_puppets(monkeypatch, saving)
    queued(engine, "one", tmp_path / "runs")
    with monkeypatch.context() as dying, pytest.raises(Killed):
        dying.setattr(Queue, "close", die)
        work(database, "one")
    assert not list((tmp_path / "runs").rglob(paths.CHECKPOINT))
    assert Queue(engine).unclosed() == ["one"], "so that somebody comes back to it"


@pytest.mark.parametrize(
    ("begins_with", "told"),
    [
        (4, "epoch: found 4 first; reported before were 2, allowed is up to 3"),
        (None, "result: found 4 epochs; reported were 2"),
    ],
)
def test_a_training_that_goes_on_from_more_than_was_reported_fails(
    engine: Engine,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    begins_with: int | None,
    told: str,
) -> None:
    queued(engine, "one", tmp_path / "runs", epochs=4)

    def die_in_epoch_3(job: TrialJob, epoch: int) -> EpochReport:
        if epoch == 3:
            raise Killed
        return made_up(job, epoch)

    with monkeypatch.context() as dying, pytest.raises(Killed):
        use_puppets(dying, die_in_epoch_3)
        work(database, "one")
    its_worker_is_gone(engine)

    class GoesOn(PuppetChild):
        def receive(self, _timeout_s: float) -> Message:
            reports = [made_up(self._job, epoch) for epoch in range(1, 5)]
            if begins_with is None:
                return Completed(TrialResult.from_epochs(reports, self._job.objective))
            return EpochDone(reports[begins_with - 1])

    monkeypatch.setattr(attempt, "ChildProcess", GoesOn)
    work(database, "one")
    (slot,) = read_sweep(engine, "one").stages[0].slots
    assert (slot.state, slot.failure_kind, slot.message) == (SlotState.FAILED, "crashed", told)
    assert [epoch.epoch for epoch in slot.epochs] == [1, 2]
