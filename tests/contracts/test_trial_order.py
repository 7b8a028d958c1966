"""Trials are numbered in the order of their slots, whoever comes first and whoever dies."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import Engine, update

from storage.database import Database
from storage.engine import writing
from storage.queue import commands, retrying
from storage.queue.leases import Lease
from storage.queue.queue import Queue
from storage.states import SlotState
from storage.tables import slots
from tests.contracts.test_projection import RESULT
from tests.contracts.test_queue import ME
from tests.submission import submit

STUDY = "one/search"
LR0 = {"lr0": optuna.distributions.FloatDistribution(0, 1)}


@pytest.fixture
def database(engine: Engine, storage_url: str) -> Database:
    submit(engine, budget=5)
    database = Database(url=storage_url, engine=engine, queue=Queue(engine))
    database.studies.ensure(STUDY, metric="map50_95", attributes={"sweep": "one"})
    return database


def claimed(database: Database, count: int) -> list[Lease]:
    leases = [database.queue.claim(f"w{number}", ME) for number in range(count)]
    assert None not in leases
    return [lease for lease in leases if lease is not None]


def begin(database: Database, lease: Lease) -> int:
    """Do what an attempt does to have a trial; return its number."""
    slot = lease.slot
    made = database.studies.make_up_to(database.engine, slot, distributions=LR0)
    trial_id, number, params = database.studies.start_trial(
        STUDY,
        slot=slot.id,
        known=None if made is None else made[0],
        begun_before=lease.attempt > 1,
        params=slot.params,
        distributions=LR0,
        suggest=lambda _: {},
        sampler=optuna.samplers.RandomSampler(),
        attempt=lease.attempt,
    )
    database.queue.record_trial(lease, trial_id=trial_id, number=number, params=params)
    return number


def trials(storage_url: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=STUDY, storage=storage_url).trials


def test_the_last_to_be_claimed_may_come_first(database: Database, storage_url: str) -> None:
    leases = claimed(database, 4)
    assert begin(database, leases[3]) == 3
    found = trials(storage_url)
    assert {trial.state for trial in found} == {TrialState.RUNNING}
    assert [trial.user_attrs["slot"] for trial in found] == [lease.slot.id for lease in leases]
    assert [trial.params for trial in found] == [lease.slot.params for lease in leases]
    assert [begin(database, lease) for lease in leases[:3]] == [0, 1, 2]
    assert all(trial.datetime_start is not None for trial in found)
    assert trials(storage_url) == found


def test_workers_that_come_at_once(
    database: Database, storage_url: str, engine: Engine, tmp_path: Path
) -> None:
    leases = claimed(database, 5)

    def come(lease: Lease) -> int:
        own = Database.open(storage_url)
        try:
            return begin(own, lease)
        finally:
            own.engine.dispose()

    with ThreadPoolExecutor(5) as pool:
        assert list(pool.map(come, reversed(leases))) == [4, 3, 2, 1, 0]
    assert len(trials(storage_url)) == 5


def test_what_waits_in_a_cancelled_sweep_fails(database: Database, storage_url: str) -> None:
    first, second = claimed(database, 2)
    assert database.queue.release(first, "preempted") is None
    assert begin(database, second) == 1
    commands.cancel(database.engine, "one")
    (untold,) = database.queue.unprojected()
    assert untold.slot.id == first.slot.id
    database.studies.project(untold, objective="map50_95", values={})
    assert [trial.state for trial in trials(storage_url)] == [TrialState.FAIL, TrialState.RUNNING]


def test_a_slot_that_was_queued_again_gets_its_next_trial_when_its_turn_comes(
    database: Database, storage_url: str
) -> None:
    first, second = claimed(database, 2)
    assert begin(database, first) == 0
    failed = database.queue.fail(first, "oom", "no memory")
    assert failed is not None
    database.studies.project(failed, objective="map50_95", values={})
    database.queue.close(failed)
    retrying.retry(database.engine, "one")
    assert begin(database, second) == 1
    assert [trial.state for trial in trials(storage_url)] == [TrialState.FAIL, TrialState.RUNNING]
    (again,) = claimed(database, 1)
    assert (again.slot.id, begin(database, again)) == (first.slot.id, 2)


def test_settled_slots_without_a_trial_get_none(database: Database, storage_url: str) -> None:
    first, second = claimed(database, 2)
    database.queue.settle(first, SlotState.FAILED, failure_kind="lost", message="gone")
    assert begin(database, second) == 0


@pytest.mark.parametrize("params", [{"lr0": 7.0}, {"other": 1.0}, {"lr0": "fast"}])
def test_a_slot_whose_trial_cannot_be_made_keeps_no_other_from_its_own(
    database: Database, storage_url: str, params: dict[str, Any]
) -> None:
    first, second = claimed(database, 2)
    with writing(database.engine) as connection:
        connection.execute(update(slots).where(slots.c.id == first.slot.id).values(params=params))
    assert begin(database, second) == 0
    assert database.queue.settle(second, SlotState.COMPLETE, result=RESULT).slot.trial_number == 0


def test_a_study_that_has_another_kind_of_distribution_keeps_it(
    database: Database, storage_url: str
) -> None:
    first, _, third = claimed(database, 3)
    listed = {"lr0": optuna.distributions.CategoricalDistribution([1.0, 0.5, 1 / 3])}
    assert database.studies.make_up_to(database.engine, first.slot, distributions=listed)
    assert begin(database, third) == 2
    kinds = {type(trial.distributions["lr0"]) for trial in trials(storage_url)}
    assert kinds == {optuna.distributions.CategoricalDistribution}


def test_a_known_trial_whose_id_was_given_to_another_slot_is_not_gone_on_with(
    database: Database, storage_url: str
) -> None:
    first, second = claimed(database, 2)
    assert begin(database, first) == 0
    with pytest.raises(Exception, match="Optuna has it no more"):
        database.studies.start_trial(
            STUDY,
            slot=second.slot.id,
            known=database.studies.make_up_to(database.engine, first.slot, distributions=LR0)[0],  # type: ignore[index]
            begun_before=False,
            params=second.slot.params,
            distributions=LR0,
            suggest=lambda _: {},
            sampler=optuna.samplers.RandomSampler(),
        )
