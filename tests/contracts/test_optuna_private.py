"""The private parts of Optuna that storage/optuna/private.py relies on are as it expects them."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import HyperbandPruner, ThresholdPruner
from optuna.samplers import PartialFixedSampler, RandomSampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import event, text
from sqlalchemy import inspect as inspect_tables

from storage.engine import connectable_engine
from storage.optuna import private

SETTINGS: dict[str, tuple[BaseDistribution, Any]] = {
    "optimizer": (CategoricalDistribution(["SGD", "AdamW"]), "AdamW"),
    "lr0": (FloatDistribution(1e-4, 1e-1, log=True), 1e-3),
    "freeze": (IntDistribution(0, 10), 7),
}


@contextmanager
def expecting(part: str, function: Callable[..., Any]) -> Iterator[None]:
    """Say what to look at when Optuna no longer does what is tried here."""
    try:
        yield
    except Exception as error:
        pytest.fail(
            f"Optuna {optuna.__version__} changed {part}: storage/optuna/private.py relies on it "
            f"in `{function.__name__}` ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
        )


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'optuna.db'}"


@pytest.fixture
def storage(url: str) -> Iterator[RDBStorage]:
    storage = RDBStorage(url)
    optuna.create_study(storage=storage, study_name="one", direction="maximize")
    yield storage
    storage.remove_session()
    storage.engine.dispose()


def made_trial(storage: RDBStorage) -> FrozenTrial:
    template = optuna.trial.create_trial(
        state=TrialState.RUNNING,
        params={name: value for name, (_, value) in SETTINGS.items()},
        distributions={name: distribution for name, (distribution, _) in SETTINGS.items()},
        user_attrs={"slot": 5},
    )
    study_id = storage.get_study_id_from_name("one")
    return private.create_trial(storage, study_id, template)


def test_a_trial_is_made_from_a_template_and_returned_with_its_number(storage: RDBStorage) -> None:
    with expecting("RDBStorage._create_new_trial", private.create_trial):
        parameters = inspect.signature(RDBStorage._create_new_trial).parameters
        assert list(parameters) == ["self", "study_id", "template_trial"]
        assert [made_trial(storage).number for _ in range(2)] == [0, 1]
        stored = storage.get_all_trials(storage.get_study_id_from_name("one"))
        assert [trial.number for trial in stored] == [0, 1]
        assert {trial.state for trial in stored} == {TrialState.RUNNING}
        assert stored[1].user_attrs == {"slot": 5}
        assert stored[1].params == {name: value for name, (_, value) in SETTINGS.items()}


def test_a_trial_is_made_in_a_transaction_of_ours(storage: RDBStorage) -> None:
    template = optuna.trial.create_trial(state=TrialState.WAITING, user_attrs={"slot": 5})
    study_id = storage.get_study_id_from_name("one")
    with expecting("RDBStorage._get_prepared_new_trial", private.add_trial):
        for ends in ("rollback", "commit", "commit"):
            with storage.engine.connect() as connection, connection.begin() as transaction:
                made = private.add_trial(storage, connection, study_id, template)
                getattr(transaction, ends)()
        stored = storage.get_all_trials(study_id)
        assert [trial.number for trial in stored] == [0, 1]
        assert made == (private.id_of(stored[1]), 1)
        assert {trial.state for trial in stored} == {TrialState.WAITING}
        assert stored[1].user_attrs == {"slot": 5}
        with storage.engine.connect() as connection, pytest.raises(KeyError):
            private.add_trial(storage, connection, study_id + 7, template)


def test_studies_are_read_without_what_is_not_asked_for(storage: RDBStorage) -> None:
    study = optuna.create_study(storage=storage, study_name="two")
    study.set_user_attr("sweep", {"a": 1})
    study_id = storage.get_study_id_from_name("two")
    with expecting("its tables", private.attribute_of_studies):
        assert private.attribute_of_studies(storage, "sweep") == {"one": None, "two": {"a": 1}}
    made_trial(storage)
    with expecting("its tables", private.count_trials):
        counts = [
            private.count_trials(storage, storage.get_study_id_from_name(name))
            for name in ("one", "two")
        ]
        assert counts == [1, 0]
    with expecting("its tables", private.delete_study):
        private.delete_study(storage, study_id)
        assert [found.study_name for found in storage.get_all_studies()] == ["one"]
        with storage.engine.connect() as connection:
            for table in inspect_tables(connection).get_table_names():
                if table.startswith("study_"):
                    query = text(f"SELECT count(*) FROM {table} WHERE study_id = {study_id}")
                    assert connection.execute(query).scalar_one() == 0, table


def test_trials_are_deleted_with_all_that_hangs_on_them(storage: RDBStorage) -> None:
    study_id = storage.get_study_id_from_name("one")
    other = storage.get_study_id_from_name(
        optuna.create_study(storage=storage, study_name="two").study_name
    )
    for study in (study_id, study_id, study_id, other):
        trial = optuna.trial.create_trial(
            value=0.5,
            params={name: value for name, (_, value) in SETTINGS.items()},
            distributions={name: distribution for name, (distribution, _) in SETTINGS.items()},
            user_attrs={"slot": 5},
            system_attrs={"x": 1},
            intermediate_values={1: 0.1},
        )
        private.create_trial(storage, study, trial)
    with expecting("its tables", private.delete_trials):
        left = []
        while private.delete_trials(storage, study_id, most=2):
            left.append(storage.get_n_trials(study_id))
        assert left == [1, 0]
        assert storage.get_n_trials(other) == 1
        counted = {}
        with storage.engine.connect() as connection:
            for table in inspect_tables(connection).get_table_names():
                if table.startswith("trial"):
                    query = text(f"SELECT count(*) FROM {table}")
                    counted[table] = connection.execute(query).scalar_one()
        hanging = {name: count for name, count in counted.items() if count}
        assert hanging == {
            **{"trials": 1, "trial_params": len(SETTINGS), "trial_user_attributes": 1},
            **{"trial_system_attributes": 1, "trial_values": 1, "trial_intermediate_values": 1},
        }


def test_a_trial_carries_the_id_by_which_its_storage_knows_it(storage: RDBStorage) -> None:
    with expecting("FrozenTrial._trial_id", private.id_of):
        made = [made_trial(storage) for _ in range(2)]
        assert len({private.id_of(trial) for trial in made}) == 2
        for trial in made:
            assert storage.get_trial(private.id_of(trial)).number == trial.number


def test_a_running_trial_can_be_opened_to_ask_its_sampler_and_pruner(storage: RDBStorage) -> None:
    study = optuna.load_study(storage=storage, study_name="one", pruner=ThresholdPruner(lower=0.5))
    with expecting("Trial(study, trial_id) or its storage's cache", private.open_trial):
        assert list(inspect.signature(Trial).parameters) == ["study", "trial_id"]
        trial_id = private.id_of(made_trial(storage))  # behind the back of the study
        storage.set_trial_intermediate_value(trial_id, 1, 0.1)
        trial = private.open_trial(study, trial_id)
        assert trial.should_prune()
        assert 0 <= trial.suggest_float("new", 0, 1) <= 1
        assert "new" in storage.get_trial(trial_id).params


def test_a_study_forgets_the_trials_that_its_sampler_saw_before(storage: RDBStorage) -> None:
    study = optuna.load_study(storage=storage, study_name="one")
    with expecting("Study._thread_local", private.open_trial):
        for number in range(2):
            made = made_trial(storage)  # behind the back of the study
            private.open_trial(study, private.id_of(made))
            assert len(study._get_trials(deepcopy=False, use_cache=True)) == number + 1


def test_a_pruner_has_its_brackets_before_it_is_asked(storage: RDBStorage) -> None:
    study = optuna.load_study(storage=storage, study_name="one")
    with expecting("HyperbandPruner._try_initialization", private.use_pruner):
        made = [made_trial(storage) for _ in range(20)]
        asked, new = (HyperbandPruner(min_resource=1, max_resource=27) for _ in range(2))
        asked.prune(study, made[0])
        for _ in range(2):
            private.use_pruner(study, new)
        assert study.pruner is new
        brackets = [[pruner._get_bracket_id(study, x) for x in made] for pruner in (asked, new)]
        assert brackets[0] == brackets[1]
        assert set(brackets[0]) == {0, 1, 2, 3}


def test_a_sampler_is_asked_for_a_setting_by_its_distribution(storage: RDBStorage) -> None:
    chosen = {name: value for name, (_, value) in SETTINGS.items()}
    study = optuna.load_study(
        storage=storage,
        study_name="one",
        sampler=PartialFixedSampler(chosen, RandomSampler()),
    )
    with expecting("Trial._suggest", private.suggest_value):
        assert list(inspect.signature(Trial._suggest).parameters) == [
            "self",
            "name",
            "distribution",
        ]
        trial = study.ask()
        for name, (distribution, value) in SETTINGS.items():
            assert private.suggest_value(trial, name, distribution) == value
        assert study.trials[0].params == chosen
        assert study.trials[0].distributions == {name: kind for name, (kind, _) in SETTINGS.items()}


def test_a_storage_uses_the_connections_it_is_given(storage: RDBStorage, url: str) -> None:
    ours, told = connectable_engine(url), list[str]()

    @event.listens_for(ours, "before_cursor_execute")
    def _heard(_connection: object, _cursor: object, sql: str, *_: object) -> None:
        told.append(sql)

    with expecting("RDBStorage.engine or RDBStorage.scoped_session", private.use_engine):
        own = storage.engine

        @event.listens_for(own, "connect")
        def _own_connection(*_: object) -> None:
            raise AssertionError("the storage still uses an engine of its own")

        private.use_engine(storage, ours)
        study = optuna.load_study(storage=storage, study_name="one")
        study.tell(study.ask(), 0.5)
        assert any(sql.startswith("INSERT INTO trials") for sql in told)
        assert {sql for sql in told if sql.startswith("BEGIN")} == {"BEGIN IMMEDIATE"}
