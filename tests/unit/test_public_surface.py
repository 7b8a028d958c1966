"""`import sweep`: what is public, what it loads, and that its examples run."""

import doctest
import importlib
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sweep
from storage.database import Database
from storage.queue import commands
from storage.states import SlotState
from sweep import InputError, SweepError
from sweep.api import running
from sweep.api.results import results_of
from sweep.paths import sweep_file
from tests.command import Command
from tests.factories import make_retrain, make_slot, make_sweep

FUNCTIONS = ("load_spec", "submit", "run", "status", "results")


@pytest.fixture(autouse=True)
def clean_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SWEEP_STORAGE", raising=False)
    return tmp_path


@pytest.fixture
def file(clean_folder: Path) -> Path:
    content = {
        "name": "one",
        "trainer": "sweep.testing:instant_trainer",
        "search": {"epochs": 2, "space": {"lr0": [0.1, 0.01]}},
    }
    return Command(clean_folder).write("one.yaml", content)


def test_every_public_name_is_there() -> None:
    assert dir(sweep) == sorted(sweep.__all__)
    assert all(getattr(sweep, name) for name in sweep.__all__)
    assert all(f"sweep.{name}(" in getattr(sweep, name).__doc__ for name in FUNCTIONS)
    with pytest.raises(AttributeError, match="no attribute 'sumbit'"):
        _ = sweep.sumbit


def test_no_module_hides_a_function() -> None:
    below = {path.stem for path in Path(sweep.__path__[0]).iterdir()}
    assert below.isdisjoint(sweep.__all__)


def test_importing_it_loads_nothing_heavy() -> None:
    script = (
        "import sys, sweep\n"
        "heavy = {'torch', 'ultralytics', 'optuna', 'sqlalchemy', 'pydantic', 'pandas', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        f"{'; '.join(f'sweep.{name}' for name in FUNCTIONS)}\n"
        "print(sorted({'torch', 'ultralytics', 'optuna', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n") == ["[]", "[]", ""]


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [sweep, importlib.import_module("sweep.testing")]
    + [importlib.import_module(f"sweep.api.{name}") for name in ("submitting", "status", "results")]
    + [running],
    ids=lambda module: module.__name__,
)
def test_its_examples_run(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


def test_a_changed_spec_is_checked(file: Path) -> None:
    spec = sweep.load_spec(file)
    with pytest.raises(InputError, match="one: seed"):
        sweep.submit(spec.model_copy(update={"seed": -1}))
    assert not Path("sweep.db").exists()


def test_the_storage_is_what_was_said(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_STORAGE", "sqlite:///variable.db")
    sweep.submit(file)
    sweep.submit(file, storage="sqlite:///named.db")
    assert sorted(path.name for path in Path().glob("*.db")) == ["named.db", "variable.db"]


def test_what_is_not_there_is_an_input_error(file: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        sweep.load_spec("none.yaml")
    with pytest.raises(InputError, match=r"sweep\.db does not exist"):
        sweep.status("one")
    sweep.submit(file)
    for look in (sweep.status, sweep.results):
        with pytest.raises(InputError, match="no sweep 'two' in this database; there are: one"):
            look("two")


def test_the_status_is_plain_values(file: Path) -> None:
    found = sweep.status(sweep.submit(file))
    (stage,) = found.pop("stages")
    submitted = datetime.fromisoformat(found.pop("submitted"))
    assert submitted.utcoffset() == timedelta(0)
    assert found == {
        "name": "one",
        "state": "active",
        "served": False,
        "priority": 0,
        "objective": "map50_95",
        "spec_hash": sweep.load_spec(file).hash(),
        "dataset": "",
        "best": None,
        "hints": [],
        "unreadable": [],
        "time_left_s": None,
        "disk_bytes": file.stat().st_size,
        "disk_complete": True,
        "workers": [],
    }
    assert stage == {
        "name": "search",
        "study": "one/search",
        "state": "open",
        "total": 2,
        "counts": dict.fromkeys(SlotState, 0) | {"queued": 2},
        "attempts": {},
        "failures": [],
        "best": None,
    }


def test_the_sweep_file_is_kept_as_written(file: Path) -> None:
    file.write_text(f"# why these rates\n{file.read_text()}")
    name = sweep.submit(file)
    assert sweep_file(Path("runs"), name).read_text() == file.read_text()


@pytest.mark.slow
def test_a_paused_sweep_is_not_done(file: Path) -> None:
    name = sweep.submit(file)
    commands.pause(Database.open("sqlite:///sweep.db").engine, name)
    with pytest.raises(SweepError, match="one is paused; `sweep resume one` continues it"):
        sweep.run(file, workers=1)


class Interrupted:
    """A launcher whose workers leave once they were asked twice."""

    failed = False

    def __init__(self) -> None:
        self.asked = 0

    @property
    def running(self) -> bool:
        return self.asked < 2

    def start(self, *_: Any) -> None: ...

    def wait(self, timeout_s: float) -> None:
        raise KeyboardInterrupt

    def stop(self, within_s: float | None = None) -> None:
        assert within_s is None, "Ctrl-C waits for the epoch at hand"
        self.asked += 1


def test_an_interrupt_is_passed_on_to_workers_and_raised_when_they_have_left() -> None:
    launcher, ticks = Interrupted(), []
    with pytest.raises(KeyboardInterrupt):
        running.wait(launcher, lambda: ticks.append(launcher.running))
    assert launcher.asked == 2
    assert ticks == [True, True, False]


def test_results_hold_every_trial_and_epoch_once() -> None:
    per_class = [{"name": "glass", "ap50": 0.5, "ap": 0.25}]
    best = make_slot(0, {"lr0": 0.1}, label="best")
    best = make_slot(
        0, {"lr0": 0.1}, label="best", result={**(best.result or {}), "per_class": per_class}
    )
    record = make_sweep(*make_sweep().stages, make_retrain([best]))
    found = results_of(record)
    slots = [slot for stage in record.stages for slot in stage.slots]
    assert len(found.trials) == len(slots)
    assert len(found.epochs) == sum(len(slot.epochs) for slot in slots)
    for trial, slot in zip(found.trials, slots, strict=True):
        assert (trial.number, trial.params) == (slot.trial_number, slot.params)
        assert (trial.map50_95 is None) == (trial.state != "complete")
    failed = next(trial for trial in found.trials if trial.state == "failed")
    assert (failed.failure, failed.attempts, failed.epochs) == ("oom", 2, 1)
    (scores,) = found.per_class
    assert (scores.stage, scores.label, scores.name, scores.ap) == (
        "retrain",
        "best",
        "glass",
        0.25,
    )


def test_records_become_a_data_frame() -> None:
    frame = results_of(make_sweep()).trials.to_pandas()
    assert len(frame) == 45
    assert frame.loc[0, "params.optimizer"] == "SGD"
    assert frame[frame.state == "failed"].map50_95.isna().all()
    epochs = results_of(make_sweep()).epochs.to_pandas()
    assert {"epoch", "map50", "losses.train/box_loss", "lr.lr/pg0"} <= set(epochs)


def test_without_pandas_the_mend_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    to_pandas: Callable[[], object] = results_of(make_sweep()).trials.to_pandas
    with pytest.raises(InputError, match=r"pip install 'detsweep\[pandas\]'"):
        to_pandas()
