"""Telling Optuna how a slot ended: once or more often, by one worker or by two."""

from dataclasses import replace
from typing import Any

import optuna
import optuna.study
import pytest
from optuna.storages import RDBStorage
from sqlalchemy import Engine

from storage.optuna.storage import open_storage
from storage.optuna.studies import Studies
from storage.process_identity import ProcessIdentity
from storage.queue.queue import Queue
from storage.queue.settling import Settled
from storage.states import SlotState
from tests.submission import submit

RESULT = {
    "map50": 0.5,
    "map50_95": 0.3,
    "precision": 0.6,
    "recall": 0.4,
    "best_epoch": 2,
    "epochs": 2,
    "seconds": 1.0,
    "effective": {"lr0": 0.0},
}


def settled_slot(engine: Engine, studies: Studies) -> Settled:
    submit(engine, budget=1)
    studies.ensure("one/search", metric="map50_95", attributes={})
    queue = Queue(engine)
    lease = queue.claim("worker", ProcessIdentity.current())
    assert lease is not None
    trial_id, number, params = studies.start_trial(
        "one/search",
        slot=lease.slot.id,
        known=None,
        begun_before=False,
        params=lease.slot.params,
        distributions={"lr0": optuna.distributions.CategoricalDistribution([1.0])},
        suggest=lambda _: {},
        sampler=optuna.samplers.RandomSampler(),
    )
    queue.record_trial(lease, trial_id=trial_id, number=number, params=params)
    return queue.settle(lease, SlotState.COMPLETE, result=RESULT)


def tell(studies: Studies, settled: Settled) -> None:
    studies.project(settled, objective="map50_95", values={1: 0.1, 2: 0.3})


def test_a_worker_that_tells_late_changes_nothing(
    engine: Engine, storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (Studies(open_storage(storage_url, engine)) for _ in range(2))
    settled = settled_slot(engine, first)
    storage = second._storage
    unfinished = storage.get_trial

    def told_meanwhile(trial_id: int) -> optuna.trial.FrozenTrial:
        before = unfinished(trial_id)
        tell(first, settled)
        return before

    monkeypatch.setattr(storage, "get_trial", told_meanwhile)
    tell(second, replace(settled, attempt=7))
    (trial,) = optuna.load_study(study_name="one/search", storage=storage_url).trials
    assert trial.state is optuna.trial.TrialState.COMPLETE
    assert trial.value == 0.3
    assert trial.user_attrs["attempts"] == settled.attempt
    assert trial.intermediate_values == {1: 0.1, 2: 0.3}


def test_a_study_that_another_worker_is_making_is_no_foreign_one(
    engine: Engine, storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    optunas = open_storage(storage_url, engine)
    optunas.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "one/search")
    ours = {"metric": "map50_95", "attributes": {"sweep": "one"}}
    read = type(optunas).get_study_user_attrs
    others = [Studies(open_storage(storage_url, engine))]

    def read_and_lose_the_race(storage: RDBStorage, study_id: int) -> dict[str, Any]:
        found = read(storage, study_id)
        if others and not found:  # the other one marks the study and makes a trial just now
            others.pop().ensure("one/search", **ours)
            optunas.create_new_trial(study_id)
        return found

    monkeypatch.setattr(RDBStorage, "get_study_user_attrs", read_and_lose_the_race)
    Studies(optunas).ensure("one/search", **ours)
    assert not others
    assert optuna.load_study(study_name="one/search", storage=optunas).user_attrs == {
        "sweep": "one"
    }
