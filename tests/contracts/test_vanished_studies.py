"""Optuna is a projection: what is deleted there is made again, what is foreign there is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.trial import FrozenTrial, TrialState

from storage.database import Database
from storage.errors import StudyNotOurs
from storage.snapshot.reader import read_sweep
from storage.states import SlotState, SweepState
from sweep.errors import InputError, SweepError
from sweep.submission.submit import Submitted, load
from sweep.submission.submit import submit as queue
from sweep.training.contract import Device
from sweep.worker.attempt import Attempt
from sweep.worker.shutdown import Shutdown
from sweep.worker.worker import Worker

pytestmark = pytest.mark.slow

STUDY = "one/search"
CONTENT: dict[str, Any] = {
    "name": "one",
    "trainer": "sweep.testing:instant_trainer",
    "search": {
        "epochs": 2,
        "pruner": "median",
        "space": {"fault": [None, "crash"], "lr0": [0.1, 0.01]},
    },
}


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path / 'sweep.db'}"


def submit(url: str, name: str = "one", **changes: Any) -> Submitted:
    file = Path(f"{name}.yaml")
    file.write_text(yaml.safe_dump(CONTENT | {"name": name} | changes))
    return queue(url, load(file), file, progress=lambda *_: None)


def work(database: Database) -> None:
    Worker(database, device=Device(), drain=True, shutdown=Shutdown()).run()


def trials(url: str) -> list[FrozenTrial]:
    return optuna.load_study(study_name=STUDY, storage=url).trials


def content(found: list[FrozenTrial]) -> list[Any]:
    """Return all that our tables know of trials, but for which worker was at it."""
    return [
        (
            *(trial.number, trial.state, trial.values, trial.params, trial.distributions),
            *(trial.user_attrs["slot"], trial.intermediate_values),
            trial.user_attrs | {"worker": None},
        )
        for trial in found
    ]


def delete_study(url: str) -> None:
    optuna.delete_study(study_name=STUDY, storage=url)


def rename_study(url: str) -> None:
    """Do what the dashboard does."""
    options = {"from_storage": url, "to_storage": url}
    optuna.copy_study(from_study_name=STUDY, to_study_name="renamed", **options)
    delete_study(url)


@pytest.mark.parametrize("vanish", [delete_study, rename_study])
def test_the_study_of_a_sweep_that_is_done_is_made_again(
    url: str, vanish: Callable[[str], None]
) -> None:
    database = submit(url).database
    work(database)
    before = content(trials(url))
    assert {found[1] for found in before} == {TrialState.COMPLETE, TrialState.FAIL}
    vanish(url)
    assert submit(url).done
    work(database)  # any worker tells Optuna how they ended
    assert content(trials(url)) == before
    slots = read_sweep(database.engine, "one").stages[0].slots
    assert [slot.trial_number for slot in slots] == [0, 1, 2, 3]
    began = [slot.started_at.astimezone().replace(tzinfo=None) for slot in slots if slot.started_at]
    assert [trial.datetime_start for trial in trials(url)] == began


@pytest.mark.parametrize("step", ["_start_trial", "_decide", "_conclude"])
def test_a_study_that_vanishes_at_any_moment_stops_no_work(
    url: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    calls = []
    original = getattr(Attempt, step)

    def deleting(attempt: Attempt, *arguments: Any) -> Any:
        calls.append(step)
        if len(calls) == 3:
            delete_study(url)
        return original(attempt, *arguments)

    monkeypatch.setattr(Attempt, step, deleting)
    database = submit(url).database
    work(database)
    assert len(calls) >= 4
    slots = read_sweep(database.engine, "one").stages[0].slots
    assert [slot.state for slot in slots] == [SlotState.COMPLETE] * 2 + [SlotState.FAILED] * 2
    found = {trial.user_attrs["slot"]: trial for trial in trials(url)}
    assert len(trials(url)) == len(found) == 4
    for slot in slots:
        trial = found[slot.id]
        assert trial.number == slot.trial_number
        assert trial.params == slot.params
        assert trial.value == slot.value
        assert list(trial.intermediate_values) == [epoch.epoch for epoch in slot.epochs]
    assert [found[slot.id].state for slot in slots] == [TrialState.COMPLETE] * 2 + [
        TrialState.FAIL
    ] * 2


def theirs(url: str, direction: str, *, trained: bool) -> None:
    study = optuna.create_study(storage=url, study_name=STUDY, direction=direction)
    if trained:
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("trained", [False, True])
def test_a_study_that_no_sweep_made_is_refused_at_submit(
    url: str, direction: str, trained: bool
) -> None:
    theirs(url, direction, trained=trained)
    with pytest.raises(InputError, match=r"one.yaml: name: the database holds a study") as refused:
        submit(url)
    assert "\n" not in str(refused.value)
    submit(url, "other")
    assert optuna.load_study(study_name=STUDY, storage=url).user_attrs == {}


@pytest.mark.parametrize(
    ("direction", "trained", "why"),
    [
        ("minimize", False, "does not maximize"),
        ("minimize", True, "does not maximize"),
        ("maximize", True, "another program's"),
    ],
)
def test_a_study_that_became_anothers_stops_this_sweep_alone(
    url: str, direction: str, trained: bool, why: str
) -> None:
    database = submit(url).database
    submit(url, "other", search={"epochs": 1, "space": {"lr0": [0.1]}})
    delete_study(url)
    theirs(url, direction, trained=trained)
    before = content_of_theirs(url)
    database.studies.forget()
    with pytest.raises(SweepError, match=f"leaving, .*one: the study 'one/search' .*{why}"):
        work(database)
    assert read_sweep(database.engine, "other").state is SweepState.DONE
    slots = read_sweep(database.engine, "one").stages[0].slots
    assert {slot.state for slot in slots} == {SlotState.QUEUED}
    assert content_of_theirs(url) == before
    with pytest.raises(StudyNotOurs):
        database.studies.ensure(STUDY, metric="map50", attributes={"sweep": "one"})


def content_of_theirs(url: str) -> Any:
    study = optuna.load_study(study_name=STUDY, storage=url)
    return study.user_attrs, study.metric_names, study.trials
