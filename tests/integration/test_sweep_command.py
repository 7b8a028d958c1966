"""The whole story through the command line, with an instant trainer in place of YOLO."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

import optuna
import pytest

from storage.database import Database
from storage.errors import StorageError
from storage.snapshot.reader import read_sweep
from storage.states import SlotState
from tests.command import Command, kill_group, wait_until

pytestmark = pytest.mark.slow

GRID = [(optimizer, lr0) for optimizer in ("SGD", "AdamW") for lr0 in (0.1, 0.01, 0.001)]


def instant(**changes: Any) -> dict[str, Any]:
    return {
        "name": "one",
        "trainer": "sweep.testing:instant_trainer",
        "search": {
            "epochs": 3,
            "space": {
                "optimizer": ["SGD", "AdamW"],
                "lr0": [0.1, 0.01, 0.001],
                "momentum": [0.9],
            },
        },
        "retrain": {"epochs": 5, "baseline": {"optimizer": "SGD", "lr0": 0.1}},
    } | changes


def study(sweep: Command, stage: str = "search") -> optuna.Study:
    return optuna.load_study(
        study_name=f"one/{stage}", storage=f"sqlite:///{sweep.folder / 'sweep.db'}"
    )


def points(found: optuna.Study) -> list[tuple[Any, Any]]:
    """List the settings of all trials; fails unless every trial is complete."""
    assert {trial.state for trial in found.trials} == {optuna.trial.TrialState.COMPLETE}
    return sorted((trial.params["optimizer"], trial.params["lr0"]) for trial in found.trials)


def test_one_command_searches_retrains_and_reports(sweep: Command) -> None:
    file = sweep.write("one.yaml", instant())
    done = sweep("run", file)
    assert done.code == 0, done.err
    status = sweep.status("one")
    assert status["state"] == "done"
    search, retrain = status["stages"]
    assert (search["counts"]["complete"], retrain["counts"]["complete"]) == (6, 2)
    assert points(study(sweep)) == sorted(GRID)
    best = study(sweep).best_trial
    assert search["best"]["params"] == best.params
    assert search["best"]["value"] == best.value == best.user_attrs["map50_95"]
    assert study(sweep).metric_names == ["map50_95"]
    trials = study(sweep, "retrain").trials
    # Two workers start them at the same moment: which gets number 0 is nobody's promise.
    assert sorted(trial.params["lr0"] for trial in trials) == sorted([0.1, best.params["lr0"]])
    assert [len(trial.intermediate_values) for trial in trials] == [5, 5]
    report = sweep.folder / "reports" / "one"
    assert (report / "report.html").stat().st_size > 0
    assert (report / "tables" / "SGD_50-95.csv").exists()


def test_the_same_file_again_only_prints_the_result(sweep: Command) -> None:
    file = sweep.write("one.yaml", instant())
    assert sweep("run", file).code == 0
    before = [trial.datetime_complete for trial in study(sweep).trials]
    again = sweep("run", file)
    assert again.code == 0
    assert "6/6" in again.out
    assert [trial.datetime_complete for trial in study(sweep).trials] == before


def test_a_changed_file_under_the_same_name_is_refused_with_the_difference(
    sweep: Command,
) -> None:
    file = sweep.write("one.yaml", instant())
    assert sweep("submit", file).code == 0
    assert "nothing changed" in sweep("submit", file).out
    sweep.write("one.yaml", instant(seed=3))
    refused = sweep("submit", file)
    assert refused.code == 2
    assert "seed: 0 -> 3" in refused.err


@pytest.mark.parametrize("workers", [1, 3])
def test_killed_with_all_its_processes_it_goes_on_and_repeats_nothing(
    sweep: Command, workers: int
) -> None:
    file = sweep.write("one.yaml", instant(train={"seconds_per_epoch": 0.15}))
    running = sweep.start("run", file, "--workers", str(workers))
    wait_until(lambda: complete(sweep) >= 2, running)
    kill_group(running)
    finished = {trial.number: trial.datetime_complete for trial in finished_trials(sweep)}
    assert sweep("run", file).code == 0
    assert points(study(sweep)) == sorted(GRID)
    assert points(study(sweep, "retrain")) == [("SGD", 0.01), ("SGD", 0.1)]
    for trial in study(sweep).trials:
        assert trial.datetime_complete == finished.get(trial.number, trial.datetime_complete)


def test_ctrl_c_ends_the_epoch_gives_the_slots_back_and_running_again_goes_on(
    sweep: Command,
) -> None:
    file = sweep.write("one.yaml", instant(train={"seconds_per_epoch": 0.5}))
    running = sweep.start("run", file, "--workers", "2")
    wait_until(lambda: complete(sweep) >= 1, running)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate()
    assert running.returncode == 130, (out, err)
    assert "interrupted; run again to continue" in err
    counts = sweep.status("one")["stages"][0]["counts"]
    assert counts["running"] == 0
    assert counts["complete"] < 6
    assert sweep("run", file).code == 0
    assert points(study(sweep)) == sorted(GRID)


def test_a_signal_to_every_process_at_once_fails_no_trial(sweep: Command) -> None:
    file = sweep.write("one.yaml", instant(train={"seconds_per_epoch": 0.5}))
    running = sweep.start("run", file, "--workers", "2")
    wait_until(lambda: complete(sweep) >= 1, running)
    terminate_group(running)
    assert running.wait() == 130
    assert sweep.status("one")["stages"][0]["counts"]["failed"] == 0
    assert sweep("run", file).code == 0
    assert points(study(sweep)) == sorted(GRID)


def terminate_group(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate()


def test_failed_trials_are_told_with_the_reason_and_never_zero(sweep: Command) -> None:
    space = {"fault": [None, "crash", "oom", "diverged"], "lr0": [0.1]}
    file = sweep.write(
        "one.yaml", instant(search={"epochs": 3, "space": space}, train={"fault_epoch": 2})
    )
    assert sweep("run", file).code == 0
    stage = sweep.status("one")["stages"][0]
    found = {(failure["state"], failure["kind"]) for failure in stage["failures"]}
    assert found == {("failed", "crashed"), ("failed", "oom"), ("pruned", "diverged")}
    assert all(failure["message"] for failure in stage["failures"])
    by_fault = {trial.params["fault"]: trial for trial in study(sweep).trials}
    assert by_fault["crash"].state is optuna.trial.TrialState.FAIL
    assert by_fault["crash"].value is None
    assert by_fault["oom"].user_attrs["failure"] == "oom"
    assert by_fault["diverged"].state is optuna.trial.TrialState.PRUNED
    assert by_fault[None].state is optuna.trial.TrialState.COMPLETE


def test_a_pruner_ends_trials_early(sweep: Command) -> None:
    search = {
        "epochs": 4,
        "sampler": "random",
        "trials": 20,
        "pruner": "median",
        "space": {"optimizer": ["SGD"], "lr0": {"low": 1e-6, "high": 0.5, "log": True}},
    }
    file = sweep.write("one.yaml", instant(search=search))
    assert sweep("run", file, "--workers", "1").code == 0
    pruned = [t for t in study(sweep).trials if t.state is optuna.trial.TrialState.PRUNED]
    assert pruned
    assert all(len(trial.intermediate_values) < 4 for trial in pruned)
    assert sweep.status("one")["stages"][0]["counts"]["pruned"] == len(pruned)


def test_tpe_samples_at_the_claim(sweep: Command) -> None:
    search = {
        "epochs": 2,
        "sampler": "tpe",
        "trials": 14,
        "space": {
            "optimizer": ["SGD", "Adam"],
            "lr0": {"low": 1e-5, "high": 0.5, "log": True},
            "momentum": {"low": 0.5, "high": 0.99, "when": {"optimizer": ["SGD"]}},
        },
    }
    file = sweep.write("one.yaml", instant(search=search))
    assert sweep("run", file, "--workers", "2").code == 0
    trials = study(sweep).trials
    assert len({trial.params["lr0"] for trial in trials}) == 14
    for trial in trials:
        assert ("momentum" in trial.params) == (trial.params["optimizer"] == "SGD")


def test_retrain_by_hand_with_other_epochs(sweep: Command) -> None:
    file = sweep.write("one.yaml", instant())
    assert sweep("run", file).code == 0
    assert sweep("retrain", "one", "--epochs", "7").code == 0
    assert [len(t.intermediate_values) for t in study(sweep, "retrain-2").trials] == [7, 7]


def test_workers_elsewhere_serve_what_was_submitted(sweep: Command) -> None:
    for name in ("one", "two"):
        assert sweep("submit", sweep.write(f"{name}.yaml", instant(name=name))).code == 0
    done = sweep("worker", "--drain", "--device", "cpu")
    assert done.code == 0, done.err
    assert [found["state"] for found in json.loads(sweep("status", "--json").out)] == ["done"] * 2


def test_export_writes_the_studys_tables(sweep: Command) -> None:
    file = sweep.write("one.yaml", instant())
    assert sweep("run", file).code == 0
    assert sweep("export", "one", "--out", "tables").code == 0
    names = {path.name for path in (sweep.folder / "tables").rglob("*.csv")}
    assert {"SGD_50.csv", "SGD_50-95.csv", "ADAMW_50.csv", "trials.csv", "epochs.csv"} <= names


@pytest.mark.parametrize("arguments", [("--help",), ("status",), ("status", "one", "--json")])
def test_looking_imports_neither_torch_nor_optuna(
    sweep: Command, arguments: tuple[str, ...]
) -> None:
    assert sweep("submit", sweep.write("one.yaml", instant())).code == 0
    script = (
        "import sys; from sweep.cli import main\n"
        f"sys.argv = ['sweep', *{arguments!r}]\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'ultralytics', 'optuna'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=sweep.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip().endswith("[]"), done.stderr


def complete(sweep: Command) -> int:
    """Count the completed trials of the search; read here, because a command would be too slow."""
    try:
        database = Database.open(f"sqlite:///{sweep.folder / 'sweep.db'}", create=False)
        search = read_sweep(database.engine, "one").stages[0]
    except StorageError:
        return 0
    return sum(slot.state is SlotState.COMPLETE for slot in search.slots)


def finished_trials(sweep: Command) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in study(sweep).trials if trial.state.is_finished()]
