"""SIGKILL at every step of a trial's life: each slot is settled once, with the same results."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest

from storage import failpoints
from storage.snapshot.records import SweepRecord
from storage.states import SlotState, SweepState
from sweep.paths import STORAGE_VARIABLE
from tests.command import Command, living, orphans, wait_until
from tests.crash.workers import read

pytestmark = pytest.mark.slow


def sweep_file(**train: Any) -> dict[str, Any]:
    return {
        "name": "one",
        "trainer": "sweep.testing:instant_trainer",
        "train": train,
        "search": {
            "epochs": 3,
            "pruner": "median",
            "space": {"optimizer": ["SGD"], "lr0": [0.01, 0.02, 0.03, 0.008, 0.012, 1e-6, 0.5]},
        },
        "retries": {"crashed": 1},
    }


def work(sweep: Command, url: str, kill_at: str | None = None) -> int:
    """Run one draining worker in a process group of its own; return its exit code."""
    environment = {**os.environ, STORAGE_VARIABLE: url}
    if kill_at is not None:
        environment[failpoints.VARIABLE] = kill_at
    worker = subprocess.Popen(
        [sys.executable, "-m", "sweep.cli", "worker", "one", "--drain", "--device", "cpu"],
        cwd=sweep.folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    code = worker.wait()
    assert orphans(worker.pid) == []
    return code


def submitted(
    sweep: Command, url: str, trainer: str = "sweep.testing:instant_trainer", **train: Any
) -> None:
    file = sweep.write("one.yaml", sweep_file(**train) | {"trainer": trainer})
    done = sweep("submit", file, "--storage", url)
    assert done.code == 0, done.err


def outcome(record: SweepRecord) -> list[tuple[SlotState, Mapping[str, Any] | None, list[str]]]:
    """Return what must be the same whatever was killed: states, results and decisions."""
    return [
        (slot.state, slot.result, [epoch.decision for epoch in slot.epochs])
        for slot in record.stages[0].slots
    ]


def check_study(url: str, record: SweepRecord) -> None:
    """Compare the Optuna study with the slots: one finished trial each, the same values."""
    study = optuna.load_study(storage=url, study_name="one/search")
    trials = {trial.number: trial for trial in study.trials}
    for slot in record.stages[0].slots:
        assert slot.trial_number is not None
        trial = trials.pop(slot.trial_number)
        assert trial.user_attrs["slot"] == slot.id
        assert trial.state.is_finished()
        assert trial.params == slot.params
        assert trial.intermediate_values == {e.epoch: e.map50_95 for e in slot.epochs}
    for stray in trials.values():
        assert (stray.state, "superseded_by" in stray.user_attrs) == (
            optuna.trial.TrialState.FAIL,
            True,
        )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> SweepRecord:
    folder = tmp_path_factory.mktemp("undisturbed")
    sweep, url = Command(folder), f"sqlite:///{folder / 'sweep.db'}"
    submitted(sweep, url)
    assert work(sweep, url) == 0
    record = read(url)
    states = {slot.state for slot in record.stages[0].slots}
    assert states == {SlotState.COMPLETE, SlotState.PRUNED}
    return record


WITH_TRAINING = [f"{step}:group" for step in (failpoints.EPOCH_RECORDED, failpoints.DECIDED)]
"""Kills that end the supervisor and its training at the same moment."""


@pytest.mark.parametrize("kill_at", [*failpoints.STEPS, *WITH_TRAINING])
def test_a_kill_at_any_step_changes_nothing(
    sweep: Command, storage_url: str, undisturbed: SweepRecord, kill_at: str
) -> None:
    submitted(sweep, storage_url)
    assert work(sweep, storage_url, kill_at) == -9
    assert work(sweep, storage_url) == 0
    record = read(storage_url)
    assert record.state is SweepState.DONE
    assert outcome(record) == outcome(undisturbed)
    check_study(storage_url, record)


def test_a_kill_of_the_training_changes_nothing(
    sweep: Command, storage_url: str, undisturbed: SweepRecord
) -> None:
    submitted(sweep, storage_url, fault="kill", fault_epoch=2, fault_attempts=1)
    assert work(sweep, storage_url) == 0
    record = read(storage_url)
    assert outcome(record) == outcome(undisturbed)
    assert {slot.attempt for slot in record.stages[0].slots} <= {1, 2}
    assert record.stages[0].endings["crashed"] >= 1
    check_study(storage_url, record)


@pytest.mark.parametrize("killed", ["child", "supervisor", "both"])
def test_a_kill_while_a_checkpoint_is_written_changes_nothing(
    sweep: Command, storage_url: str, undisturbed: SweepRecord, killed: str
) -> None:
    shutil.copy(Path(__file__).with_name("saving.py"), sweep.folder)
    submitted(sweep, storage_url, trainer="saving:train", kill=killed, kill_lr0=0.02)
    if killed != "child":
        assert work(sweep, storage_url) == -signal.SIGKILL
    assert work(sweep, storage_url) == 0
    record = read(storage_url)
    assert record.state is SweepState.DONE
    assert outcome(record) == outcome(undisturbed)
    assert [slot.attempt for slot in record.stages[0].slots] == [1, 2, 1, 1, 1, 1, 1]
    check_study(storage_url, record)


DEAF = """
import re
from pathlib import Path

def train(job, on_epoch):
    (job.run_folder / "begun").touch()
    re.fullmatch("(a+)+b", "a" * 64)  # for ever, and no other thread of the process gets a turn
"""


@pytest.mark.parametrize("trainer", ["sweep.testing:instant_trainer", "deaf:train"])
def test_no_training_outlives_its_worker(tmp_path: Path, trainer: str) -> None:
    (tmp_path / "deaf.py").write_text(DEAF)
    sweep, url = Command(tmp_path), f"sqlite:///{tmp_path / 'sweep.db'}"
    submitted(sweep, url, trainer=trainer, seconds_per_epoch=3600)
    worker = sweep.start("worker", "one", "--storage", url, "--share", "cpu:0:1.0")
    wait_until(lambda: any(tmp_path.glob("runs/one/*/*/attempt-1/train.log")), worker)
    if trainer == "deaf:train":
        wait_until(lambda: any(tmp_path.glob("runs/one/*/*/attempt-1/begun")), worker)
    assert len(living(worker.pid)) >= 3  # the worker, its server of trainings, and one training
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert orphans(worker.pid) == []
