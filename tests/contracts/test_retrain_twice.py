"""All that shows a sweep agrees on its model: retrained once more, and after a retry."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from storage.database import Database
from storage.queue import retrying
from storage.snapshot.reader import read_sweep
from storage.states import SlotState
from sweep import paths
from sweep.api.best import best_model
from sweep.api.results import results_of
from sweep.api.status import status_of
from sweep.report import data as report
from sweep.report.facts import facts
from sweep.report.tables import csv_tables
from sweep.submission.retrain import add_retrain_stage
from sweep.submission.submit import load, submit
from sweep.worker.places import read_here
from tests.in_process import Child, serve, train_in_process

pytestmark = pytest.mark.slow

Retrain = Callable[..., Database]
STATES = {"COMPLETE": "complete", "FAIL": "failed", "PRUNED": "pruned"}


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Retrain:
    """Return a function that has a sweep trained, and then retrained with these settings."""
    monkeypatch.chdir(tmp_path)
    train_in_process(monkeypatch)
    file = tmp_path / "one.yaml"
    content = {
        "name": "one",
        "trainer": "sweep.testing:instant_trainer",
        "search": {"epochs": 2, "space": {"lr0": [0.1, 0.01, 0.001]}},
        "retrain": {"epochs": 3, "baseline": {"lr0": 0.1}},
    }
    file.write_text(yaml.safe_dump(content))
    database = submit("sqlite:///sweep.db", load(file), file, progress=lambda *_: None).database

    def train(failing: tuple[object, ...] = (), **retrain: Any) -> Database:
        if retrain:
            add_retrain_stage(database.engine, "one", **retrain)
        monkeypatch.setattr(Child, "failing", failing)
        serve(database, monkeypatch)
        return database

    return train


def agreed(database: Database) -> tuple[str, str | None, dict[str, Any]]:
    """Check that all that shows a sweep agrees; return its model's stage, label and settings."""
    engine = database.engine
    record = read_here(engine, "one")
    best = best_model(record)
    assert best is not None
    model = (best.stage, best.label, dict(best.params))

    shown = status_of(engine, "one", trials=True)
    assert (shown["best"]["stage"], shown["best"]["label"], shown["best"]["params"]) == model
    assert shown["best"]["value"] == best.value
    written = paths.best_settings(record.runs, "one").read_text()
    assert written.startswith(f"# sweep one, {best.stage}, trial {best.trial}: ")
    assert yaml.safe_load(written)["lr0"] == best.params["lr0"]

    page = report.read(record)
    assert page.retrain_stage is not None
    if best.label is not None:
        assert page.retrain_stage.name == best.stage
    shown_there = {run.trial.slot.label: run.trial.slot for run in page.retrained}
    stored = {slot.label: slot for slot in page.retrain_stage.slots}
    assert shown_there == stored
    (fact,) = (fact for fact in facts(page) if fact.name == "Model") if best.weights else (None,)
    assert fact is None or f"of {best.stage}" in fact.detail

    dashboard_agrees(database)
    trials = results_of(record).trials
    assert [(t.stage, t.number, t.state) for t in trials] == [
        (stage.name, slot.trial_number, str(slot.state))
        for stage in record.stages
        for slot in stage.slots
    ]
    header, *rows = csv_tables(page)["trials.csv"]
    place = header.index("map50_95")
    assert [row[place] for row in rows] == [trial.map50_95 for trial in trials]
    return model


def dashboard_agrees(database: Database) -> None:
    """Check that each stage's study holds the last trial of each slot, with its scores."""
    for stage in read_sweep(database.engine, "one").stages:
        study = optuna.load_study(study_name=stage.study, storage=database.url)
        by_number = {trial.number: trial for trial in study.trials}
        for slot in stage.slots:
            trial = by_number[slot.trial_number or 0]
            assert trial.params == slot.params
            assert STATES[trial.state.name] == slot.state
            assert trial.user_attrs.get("label") == slot.label
            assert trial.value == (slot.result["map50_95"] if slot.result else None)
            assert trial.intermediate_values == {x.epoch: x.map50_95 for x in slot.epochs}
        complete = [slot for slot in stage.slots if slot.state is SlotState.COMPLETE]
        if complete:
            highest = max(complete, key=lambda slot: (slot.value or 0.0, -slot.ordinal))
            assert study.best_trial.number == highest.trial_number


def test_the_latest_retraining_counts_everywhere(sweep: Retrain) -> None:
    assert agreed(sweep()) == ("retrain", "best", {"lr0": 0.01})
    assert agreed(sweep(epochs=5)) == ("retrain-2", "best", {"lr0": 0.01})
    database = sweep(epochs=4, baseline=["lr0=0.02"])
    assert agreed(database) == ("retrain-3", "best", {"lr0": 0.01})
    page = report.read(read_here(database.engine, "one"))
    baseline = page.run("baseline")
    assert baseline is not None
    assert baseline.trial.params == {"lr0": 0.02}


def test_a_retraining_that_failed_leaves_the_one_before(sweep: Retrain) -> None:
    database = sweep()
    assert agreed(sweep(failing=(0.01,), epochs=5)) == ("retrain", "best", {"lr0": 0.01})
    assert retrying.retry(database.engine, "one") == 1
    assert agreed(sweep()) == ("retrain-2", "best", {"lr0": 0.01})


def test_a_retraining_after_a_retry_is_of_the_new_best(sweep: Retrain) -> None:
    database = sweep(failing=(0.01,))
    stage, label, before = agreed(database)
    assert (stage, label) == ("retrain", "best")
    assert before != {"lr0": 0.01}
    assert retrying.retry(database.engine, "one") == 1
    assert agreed(sweep()) == ("retrain", "best", before)
    assert agreed(sweep(epochs=3)) == ("retrain-2", "best", {"lr0": 0.01})


def test_a_retraining_of_which_all_failed_leaves_the_one_before(sweep: Retrain) -> None:
    sweep(failing=(0.01,))
    assert agreed(sweep(failing=(0.001, 0.1), epochs=4))[0] == "retrain"
