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
from sweep.submission import deleting
from sweep.submission.submit import load, submit
from sweep.training.contract import Device
from sweep.worker.faults import telling_spoilt
from sweep.worker.places import read_here
from sweep.worker.shutdown import Shutdown
from sweep.worker.worker import Worker
from tests.in_process import Child, serve, train_in_process
from tests.poison import VALUES, Column, columns, spoil

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

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


@pytest.fixture(autouse=True)
def without_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    train_in_process(monkeypatch)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which two sweeps are half done: with complete, running and queued trials."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train_in_process(patch)
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
            lambda name: sweeps_table([read_summary(engine, name)], {}),
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


def delete(project: Path) -> set[str]:
    """Delete all sweeps; return which are left, for what is told in one line."""
    database, left = Database.open(f"sqlite:///{project / 'sweep.db'}"), set()
    for name in SWEEPS:
        try:
            deleting.plan(database, name)
            deleting.delete(database, name, everything=True)
        except (SweepError, StorageError) as told:
            assert "\n" not in str(told)
            left.add(name)
    database.engine.dispose()
    return left


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
    left = delete(project)
    if column.table not in metadata.tables:
        assert not left


def test_without_a_spoilt_row_all_is_done(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database.open("sqlite:///sweep.db")
    serve(database, monkeypatch)
    for name in SWEEPS:
        assert read_sweep(database.engine, name).state is SweepState.DONE
        assert read_sweep(database.engine, name).unreadable == ()


OURS = sorted(metadata.tables)


@pytest.mark.parametrize("turn", range(2))
@pytest.mark.parametrize("table", [*OURS, "of Optuna"])
def test_a_spoilt_row_ends_nothing(
    table: str, turn: int, begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, faults = list(VALUES), []
    for place, column in enumerate(columns(begun / "sweep.db")):
        if (column.table if column.table in OURS else "of Optuna") != table:
            continue
        value = values[(7 * place + 5 * turn) % len(values)]  # each value meets many columns
        shutil.copytree(begun, tmp_path / "project")
        monkeypatch.chdir(tmp_path / "project")
        try:
            check(tmp_path / "project", column, value, row=1, patch=monkeypatch)
        except (Exception, pytest.fail.Exception) as error:
            faults.append(f"{value} in {column}: {error!r}"[:500])
        monkeypatch.chdir(tmp_path)
        shutil.rmtree(tmp_path / "project")
    assert not faults
