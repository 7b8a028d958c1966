"""A row that somebody spoilt is told, left out and shown; it ends no command and no worker."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import text

from storage import engine as engines
from storage.database import Database
from storage.engine import writing
from storage.errors import StorageError
from storage.queue import sweeps, workers
from storage.snapshot.reader import read_summary, read_sweep
from storage.states import SweepState
from storage.tables import metadata
from sweep.api.best import best_lines
from sweep.api.results import results_of
from sweep.api.status import status_of
from sweep.cli.tables import as_table, sweeps_table, trials_table
from sweep.errors import SweepError
from sweep.report import data as report
from sweep.report.tables import csv_tables
from sweep.submission.submit import load, submit
from sweep.testing import made_up_epoch
from sweep.training.contract import Decision, Device, EpochReport, TrialJob, TrialResult
from sweep.training.process.messages import Completed, EpochDone, Message, Stopped
from sweep.worker import attempt, worker
from sweep.worker.faults import telling_spoilt
from sweep.worker.places import read_here
from sweep.worker.shutdown import Shutdown
from sweep.worker.worker import Worker
from tests.poison import Column, spoil

EPOCHS = 2
SWEEPS: dict[str, dict[str, Any]] = {
    "spoilt": {
        "search": {"epochs": EPOCHS, "space": {"lr0": [0.1, 0.01, 0.001, 0.05]}},
        "retrain": {"epochs": EPOCHS, "baseline": {"lr0": 0.1}},
    },
    "asks": {
        "search": {
            "epochs": EPOCHS,
            "sampler": "tpe",
            "pruner": "median",
            "trials": 3,
            "space": {"lr0": {"low": 0.001, "high": 0.1, "log": True}},
        },
    },
    "whole": {"search": {"epochs": 1, "space": {"lr0": [0.1]}}},
}


class Child:
    """A training in this process, as its supervisor sees it."""

    last_sign_of_life = 1e18

    def __init__(self, job: TrialJob) -> None:
        self._job = job
        self._reports: list[EpochReport] = []
        self._told = Decision.CONTINUE

    @classmethod
    def start(cls, job: TrialJob) -> "Child":
        return cls(job)

    def receive(self, _timeout_s: float) -> Message:
        if self._told is not Decision.CONTINUE:
            return Stopped(self._told)
        done = len(self._reports)
        if done == self._job.epochs:
            return Completed(TrialResult.from_epochs(self._reports, "map50_95"))
        self._reports.append(made_up_epoch(self._job.params, seed=0, epoch=done + 1))
        return EpochDone(self._reports[-1])

    def answer(self, decision: Decision) -> None:
        self._told = decision

    def kill(self) -> None:
        pass


@pytest.fixture(autouse=True)
def without_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "ChildProcess", Child)
    monkeypatch.setattr(worker, "warm_up", lambda _: None)
    monkeypatch.setattr(worker, "IDLE_S", (0.0, 0.0))
    monkeypatch.setattr(worker, "_LOOKS_PER_S", 1e9)


class Idle(Exception):
    """A worker that waits, though nobody else is there."""


def serve(database: Database, monkeypatch: pytest.MonkeyPatch, *, slots: int | None = None) -> None:
    """Serve until nothing is left, or what is left cannot be served, or for so many slots."""
    shutdown = Shutdown()
    served = Worker(database, device=Device(), drain=True, shutdown=shutdown)
    left = [40 if slots is None else slots]

    def claim() -> Any:
        left[0] -= 1
        if left[0] < 0 and slots is None:
            raise Idle
        if left[0] < 0:
            shutdown.count = 1
            return None
        return own()

    own = served._claim
    monkeypatch.setattr(served, "_claim", claim)
    served.run()


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which two sweeps are half done: with complete, running and queued trials."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(attempt, "ChildProcess", Child)
        patch.setattr(worker, "warm_up", lambda _: None)
        database = Database.open("sqlite:///sweep.db")
        for name, content in SWEEPS.items():
            file = folder / f"{name}.yaml"
            spec = {"name": name, "trainer": "sweep.testing:instant_trainer", **content}
            file.write_text(yaml.safe_dump(spec))
            submit(database.url, load(file), file, progress=lambda *_: None)
            if name != "whole":
                serve(database, patch, slots=2)
                half_done(database, patch)
        for number in range(2):
            workers.seen(database.engine, f"w{number}", host="h", device="cpu", slot=number + 1)
        with writing(database.engine) as connection:  # it is dead, though its process is ours
            connection.execute(text("UPDATE slots SET owner = json_set(owner, '$.started_at', 1)"))
        database.engine.dispose()
    return folder


def half_done(database: Database, patch: pytest.MonkeyPatch) -> None:
    """Let a worker die in a trial after its first epoch, and another one before it told Optuna."""
    dying = Worker(database, device=Device(), shutdown=Shutdown())
    with patch.context() as inner:
        inner.setattr(Child, "answer", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        lease = dying._claim()
        assert lease is not None
        with pytest.raises(KeyboardInterrupt):
            dying._serve(lease)


@pytest.fixture
def project(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(begun, tmp_path / "project", dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def look(project: Path) -> dict[str, Any]:
    """Do what commands and programs do that only look; return the states of the sweeps."""
    engine, found = engines.looking_engine(f"sqlite:///{project / 'sweep.db'}"), {}
    for name in sweeps.names(engine):
        shown = status_of(engine, name, trials=True)
        json.dumps(shown, allow_nan=False).encode()
        found[name] = shown
        for see in (
            lambda name: sweeps_table([read_summary(engine, name)]),
            lambda name: as_table(read_summary(engine, name, since_s=0)),
            lambda name: trials_table(read_sweep(engine, name)),
            lambda name: results_of(read_here(engine, name)),
            lambda name: csv_tables(report.read(read_here(engine, name))),
            lambda name: best_lines(read_here(engine, name)),
        ):
            try:
                with telling_spoilt(engine, name):
                    see(name)
            except (SweepError, StorageError) as told:
                assert "\n" not in str(told)
    engine.dispose()
    return found


def work(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a worker serve everything; it may leave, but not wait for ever."""
    database = Database.open(f"sqlite:///{project / 'sweep.db'}")
    try:
        serve(database, monkeypatch)
    except SweepError as left:  # some of it could not be served
        assert "\n" not in str(left)
    finally:
        database.engine.dispose()


def check(project: Path, column: Column, value: str, *, row: int, patch: Any) -> None:
    """Spoil a row; then whatever looks and whoever works copes with it."""
    if not spoil(project / "sweep.db", column, value, row=row):
        return
    look(project)
    work(project, patch)
    for name, shown in look(project).items():
        spoilt = column.table in ("sweeps", "stages") or column.table not in metadata.tables
        if name == "whole" and not spoilt:
            assert shown["state"] == "done", shown


def test_without_a_spoilt_row_all_is_done(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database.open("sqlite:///sweep.db")
    serve(database, monkeypatch)
    for name in SWEEPS:
        assert read_sweep(database.engine, name).state is SweepState.DONE
        assert read_sweep(database.engine, name).unreadable == ()
