"""Notes on studies and trials: as optuna-dashboard reads them, and never over a user's."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from sqlalchemy import Engine

from storage.optuna.storage import open_storage
from storage.optuna.studies import NOTED_TRIALS, Studies

pytestmark = pytest.mark.slow

dashboard = pytest.importorskip(
    "optuna_dashboard", reason="needs optuna-dashboard: pip install optuna-dashboard"
)
NAME = "one/search"


@pytest.fixture
def studies(engine: Engine, storage_url: str) -> Studies:
    found = Studies(open_storage(storage_url, engine))
    found.ensure(NAME, metric="map50_95", attributes={}, note="which is best?")
    return found


def study(url: str) -> optuna.Study:
    return optuna.load_study(study_name=NAME, storage=url)


def shown(url: str, trial: int | None = None) -> str:
    """Return a note as a reader sees it: without comments."""
    found = study(url)
    if trial is None:
        body = dashboard.get_note(found)
    else:
        body = dashboard.get_note(optuna.Trial(found, found.trials[trial]._trial_id))
    return str(body).partition("\n\n<!--")[0]


def started(studies: Studies, slot: int, rate: float = 0.1, label: str | None = None) -> int:
    trial_id, _, _ = studies.start_trial(
        NAME,
        slot=slot,
        known=None,
        begun_before=False,
        params={"lr0": rate},
        distributions={"lr0": FloatDistribution(0.01, 0.1, log=True)},
        suggest=lambda _: {},
        sampler=optuna.samplers.RandomSampler(),
        label=label,
    )
    return trial_id


def test_the_dashboard_shows_the_latest_note(studies: Studies, storage_url: str) -> None:
    assert shown(storage_url) == "which is best?"
    studies.note(NAME, "long " * 1000)
    assert shown(storage_url) == "long " * 1000
    studies.note(NAME, "over: `lr0=0.1`")
    assert shown(storage_url) == "over: `lr0=0.1`"
    first, second = (started(studies, slot) for slot in (1, 2))
    studies.note_trial(NAME, first, 0, "running")
    studies.note_trial(NAME, second, 1, "running too")
    studies.note_trial(NAME, first, 0, "complete")
    assert [shown(storage_url, trial) for trial in (0, 1)] == ["complete", "running too"]
    assert shown(storage_url) == "over: `lr0=0.1`"


def test_the_same_again_changes_nothing(studies: Studies, storage_url: str) -> None:
    before = study(storage_url)._storage.get_study_system_attrs(1)
    studies.note(NAME, "which is best?")
    studies.ensure(NAME, metric="map50_95", attributes={}, note="which is best?")
    assert study(storage_url)._storage.get_study_system_attrs(1) == before


def test_what_a_user_wrote_stays(studies: Studies, storage_url: str) -> None:
    dashboard.save_note(study(storage_url), f"{dashboard.get_note(study(storage_url))}\nMine!")
    studies.note(NAME, "over")
    assert shown(storage_url) == "which is best?"
    assert str(dashboard.get_note(study(storage_url))).endswith("Mine!")
    trial_id = started(studies, 1)
    dashboard.save_note(optuna.Trial(study(storage_url), trial_id), "look at this one")
    studies.note_trial(NAME, trial_id, 0, "complete")
    assert shown(storage_url, 0) == "look at this one"


def test_of_many_trials_the_first_have_notes(studies: Studies, storage_url: str) -> None:
    trial_id = started(studies, 1)
    studies.note_trial(NAME, trial_id, NOTED_TRIALS, "running")
    assert shown(storage_url, 0) == ""


def test_a_study_that_was_deleted_ends_no_worker(studies: Studies, storage_url: str) -> None:
    trial_id = started(studies, 1)
    optuna.delete_study(study_name=NAME, storage=storage_url)
    studies.note(NAME, "over")
    studies.note_trial(NAME, trial_id, 0, "complete")


def test_a_trial_is_named_for_what_it_is(studies: Studies, storage_url: str) -> None:
    started(studies, 1, label="baseline")
    started(studies, 2)
    assert [trial.user_attrs for trial in study(storage_url).trials] == [
        {"slot": 1, "label": "baseline"},
        {"slot": 2},
    ]


def test_a_study_begun_with_categories_keeps_them(studies: Studies, storage_url: str) -> None:
    categories = CategoricalDistribution([0.1, 0.01])
    old = study(storage_url)
    old.add_trial(
        optuna.trial.create_trial(params={"lr0": 0.1}, distributions={"lr0": categories}, value=0.5)
    )
    for slot, rate in ((1, 0.01), (2, 0.1)):
        started(studies, slot, rate)
    trials = study(storage_url).trials
    assert [trial.params["lr0"] for trial in trials] == [0.1, 0.01, 0.1]
    assert all(trial.distributions["lr0"] == categories for trial in trials)


def test_a_new_study_has_listed_numbers_in_order(studies: Studies, storage_url: str) -> None:
    started(studies, 1)
    (trial,) = study(storage_url).trials
    assert trial.distributions["lr0"] == FloatDistribution(0.01, 0.1, log=True)
