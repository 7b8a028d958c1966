"""Optuna's own tools see ordinary studies: while a sweep runs, and after it in any database."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from tests.command import Command

pytestmark = pytest.mark.slow

CONTENT: dict[str, Any] = {
    "name": "one",
    "trainer": "sweep.testing:instant_trainer",
    "search": {
        "epochs": 3,
        "pruner": "median",
        "space": {"optimizer": ["SGD"], "lr0": [0.01, 0.02, 0.03, 0.008, 0.012, 1e-6, 0.5]},
    },
    "retrain": {"epochs": 4, "baseline": {"optimizer": "SGD", "lr0": 0.1}},
}
STUDIES = ("one/search", "one/retrain")


def optuna_command(*arguments: str, storage: str) -> Any:
    """Run the command `optuna`; return the JSON that it prints."""
    program = Path(sys.executable).with_name("optuna")
    command = [program, "--storage", storage, "-q", *arguments, "-f", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def as_data(trial: FrozenTrial) -> dict[str, Any]:
    """Return everything a trial is but the id that its database gave it."""
    return {
        name: getattr(trial, name)
        for name in (
            *("number", "state", "values", "params", "distributions", "user_attrs"),
            *("intermediate_values", "datetime_start", "datetime_complete"),
        )
    }


def check_copy(original: optuna.Study, copied: optuna.Study) -> None:
    assert copied.directions == original.directions
    assert copied.metric_names == original.metric_names
    assert copied.user_attrs == original.user_attrs
    assert [as_data(t) for t in copied.trials] == [as_data(t) for t in original.trials]


def test_a_study_survives_being_copied_there_and_back(
    sweep: Command, storage_url: str, tmp_path: Path
) -> None:
    # One worker: a pruner hears of no trial that runs beside the one it is asked about.
    file = sweep.write("one.yaml", CONTENT)
    done = sweep("run", file, "--storage", storage_url, "--workers", "1")
    assert done.code == 0, done.err
    elsewhere = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    for name in STUDIES:
        original = optuna.load_study(study_name=name, storage=storage_url)
        optuna.copy_study(from_study_name=name, from_storage=storage_url, to_storage=elsewhere)
        check_copy(original, optuna.load_study(study_name=name, storage=elsewhere))
        optuna.copy_study(
            from_study_name=name,
            from_storage=elsewhere,
            to_storage=storage_url,
            to_study_name=f"{name}/again",
        )
        again = optuna.load_study(study_name=f"{name}/again", storage=storage_url)
        check_copy(original, again)
        assert again.best_trial.number == original.best_trial.number
    states = {t.state for t in optuna.load_study(study_name=STUDIES[0], storage=elsewhere).trials}
    assert states == {TrialState.COMPLETE, TrialState.PRUNED}
    status = json.loads(sweep("status", "one", "--json", "--storage", storage_url).out)
    assert [stage["study"] for stage in status["stages"]] == list(STUDIES)


def test_optuna_reads_the_study_at_every_moment(sweep: Command, storage_url: str) -> None:
    content = CONTENT | {"train": {"seconds_per_epoch": 0.2}}
    done = sweep("submit", sweep.write("one.yaml", content), "--storage", storage_url)
    assert done.code == 0, done.err
    assert optuna_command("study-names", storage=storage_url) == [{"name": "one/search"}]
    assert optuna.load_study(study_name="one/search", storage=storage_url).trials == []
    workers = [
        sweep.start("worker", "--drain", "--share", "cpu:0:1.0", "--storage", storage_url)
        for _ in range(2)
    ]
    running = set()
    commanded = 0
    while any(worker.poll() is None for worker in workers):
        study = optuna.load_study(study_name="one/search", storage=storage_url)
        for trial in study.trials:
            assert trial.state is not TrialState.WAITING
            assert set(trial.params) == {"optimizer", "lr0"}
            assert list(trial.intermediate_values) == [
                *range(1, len(trial.intermediate_values) + 1)
            ]
            assert (trial.datetime_complete is not None) == trial.state.is_finished()
            if trial.state is TrialState.RUNNING:
                running.add(trial.number)
        if study.trials:
            listed = optuna_command(
                "trials", "--study-name", "one/search", "--flatten", storage=storage_url
            )
            assert [trial["number"] for trial in listed] == [*range(len(listed))]
            commanded += 1
    for worker in workers:
        out, err = worker.communicate()
        assert worker.returncode == 0, (out, err)
    assert running
    assert commanded
    for name in STUDIES:
        study = optuna.load_study(study_name=name, storage=storage_url)
        assert all(trial.state.is_finished() for trial in study.trials)
        best = optuna_command("best-trial", "--study-name", name, storage=storage_url)
        assert best["number"] == study.best_trial.number
