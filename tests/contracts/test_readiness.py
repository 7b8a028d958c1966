"""A worker looks whether it could train a trial here before it claims one: the world's faults are
booked on no trial, and what is wrong with one sweep stops work on no other."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import insert, select, text, update

from storage.database import Database
from storage.engine import writing
from storage.snapshot.reader import read_sweep
from storage.snapshot.records import SlotRecord
from storage.states import SlotState, SweepState
from storage.tables import attempts, stages, sweeps
from sweep import paths
from sweep.cli import inspect
from sweep.errors import SweepError
from sweep.submission.submit import load, submit
from sweep.training.contract import Device
from sweep.worker import places, readiness
from sweep.worker.places import read_here
from sweep.worker.shutdown import Shutdown
from sweep.worker.worker import Worker

pytestmark = pytest.mark.slow

WEIGHTS = b"PK\x03\x04 weights"
VANISHING = """
import shutil
from sweep.testing import instant_trainer

def train(job, on_epoch):
    if job.params["lr0"] == 0.1 and job.attempt == 1:
        shutil.rmtree(job.dataset)
        raise FileNotFoundError(str(job.dataset))
    return instant_trainer(job, on_epoch)
"""


@dataclass(frozen=True)
class Project:
    """A project's folder, which is the current one, with its database."""

    folder: Path
    database: Database

    def submit(self, name: str, *, dataset: bool = False, **changes: Any) -> None:
        """Queue a sweep of two trials; with a dataset of which only the report is there."""
        content = {
            "name": name,
            "trainer": "sweep.testing:instant_trainer",
            "search": {"epochs": 1, "space": {"lr0": [0.1, 0.01]}},
        } | changes
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(content))
        submit(self.database.url, load(file), file, progress=lambda *_: None)
        if dataset:
            self.store(
                name, dataset=prepared(self.folder / "prepared" / "tiny-f1", "f1"), fingerprint="f1"
            )

    def store(self, name: str, **values: Any) -> None:
        with writing(self.database.engine) as connection:
            connection.execute(update(sweeps).where(sweeps.c.name == name).values(**values))

    def worker(self, *, drain: bool = True, **options: Any) -> Worker:
        options = {"device": Device(), "shutdown": Shutdown()} | options
        return Worker(self.database, drain=drain, **options)

    def slots(self, name: str) -> tuple[SlotRecord, ...]:
        return read_sweep(self.database.engine, name).stages[0].slots

    def states(self, name: str) -> list[SlotState]:
        return [slot.state for slot in self.slots(name)]

    def attempts(self) -> int:
        with writing(self.database.engine) as connection:
            return len(connection.execute(select(attempts)).all())


QUEUED, COMPLETE = [SlotState.QUEUED] * 2, [SlotState.COMPLETE] * 2


def prepared(folder: Path, fingerprint: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps({"fingerprint": fingerprint}))
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Project(folder, Database.open(f"sqlite:///{folder / 'sweep.db'}"))


def without_dataset(project: Project, _: pytest.MonkeyPatch) -> None:
    project.submit("lacks", dataset=True)
    shutil.rmtree(project.folder / "prepared")


def with_another_dataset(project: Project, _: pytest.MonkeyPatch) -> None:
    project.submit("lacks", dataset=True)
    project.store("lacks", fingerprint="f2")


def without_weights(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.submit("lacks")
    stored_weights(project, monkeypatch).unlink()


def with_other_weights(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.submit("lacks")
    stored_weights(project, monkeypatch).write_bytes(b"PK\x03\x04 others")


def stored_weights(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write weights and put them into the sweep, as if its trainer were a built-in one."""
    monkeypatch.setattr(places, "BUILT_IN", {"sweep.testing:instant_trainer": ""})
    file = project.folder / "mine.pt"
    file.write_bytes(WEIGHTS)
    project.store("lacks", model=str(file), model_sha256=hashlib.sha256(WEIGHTS).hexdigest())
    return file


def without_module(project: Project, _: pytest.MonkeyPatch) -> None:
    project.submit("lacks")
    retrain_with(project, "no_such_trainer:train")


def without_inner_module(project: Project, _: pytest.MonkeyPatch) -> None:
    project.submit("lacks")
    retrain_with(project, "sweep.no_such_module:train")


def retrain_with(project: Project, trainer: str) -> None:
    spec = read_sweep(project.database.engine, "lacks").spec
    project.store("lacks", spec={**spec, "trainer": trainer})


def with_unreadable_folder(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.submit("lacks")
    monkeypatch.setattr(
        readiness, "unwritable", lambda runs: str(runs) if "elsewhere" in str(runs) else None
    )
    (project.folder / "elsewhere").mkdir()
    (project.folder / "runs" / "lacks").rename(project.folder / "elsewhere" / "lacks")
    project.store("lacks", runs=project.folder / "elsewhere")


def with_a_newer_sweep_file(project: Project, _: pytest.MonkeyPatch) -> None:
    project.submit("lacks")
    spec = read_sweep(project.database.engine, "lacks").spec
    project.store("lacks", spec={**spec, "of_the_future": 1})


def with_broken_json(project: Project, _: pytest.MonkeyPatch) -> None:
    project.submit("lacks")
    with writing(project.database.engine) as connection:
        connection.execute(text("UPDATE sweeps SET spec = '{broken' WHERE name = 'lacks'"))


def with_a_broken_slot(project: Project, _: pytest.MonkeyPatch) -> None:
    project.submit("lacks")
    with writing(project.database.engine) as connection:
        connection.execute(text("UPDATE slots SET params = '{broken'"))


def with_an_unknown_state(project: Project, _: pytest.MonkeyPatch) -> None:
    project.submit("lacks")
    with writing(project.database.engine) as connection:
        connection.execute(text("UPDATE slots SET owner = '1', label = x'ff', params = '7'"))
        connection.execute(text("UPDATE stages SET name = 'finalists'"))


def with_a_stage_of_an_unknown_kind(project: Project, _: pytest.MonkeyPatch) -> None:
    project.submit("lacks")
    with writing(project.database.engine) as connection:
        sweep_id = connection.execute(select(sweeps.c.id)).scalar_one()
        connection.execute(
            insert(stages).values(
                sweep_id=sweep_id, position=1, name="finalists", study="lacks/finalists", epochs=1,
                state="waiting",
            )
        )  # fmt: skip


Wrong = Callable[[Project, pytest.MonkeyPatch], None]
WRONG: list[tuple[Wrong, str]] = [
    (without_dataset, "its dataset is not here: neither"),
    (with_another_dataset, "has the fingerprint f2"),
    (without_weights, "its weights are not here"),
    (with_other_weights, "its weights are not here"),
    (without_module, "needs the module no_such_trainer"),
    (without_inner_module, "needs the module sweep.no_such_module"),
    (with_unreadable_folder, "is read-only"),
    (with_a_newer_sweep_file, "not one of this version (of_the_future"),
    (with_broken_json, "(row 1: sweeps.spec: found '{broken'); mend it"),
    (with_a_broken_slot, "(row 1: slots.params: found '{broken'); mend it"),
    (with_an_unknown_state, "of a kind that this program does not know"),
    (with_a_stage_of_an_unknown_kind, "'finalists' is of a kind"),
]


@pytest.mark.parametrize(("wrong", "expected"), WRONG, ids=[wrong.__name__ for wrong, _ in WRONG])
def test_a_sweep_that_cannot_be_served_is_left_whole_told_once_and_stops_no_other(
    project: Project,
    *,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    wrong: Wrong,
    expected: str,
) -> None:
    wrong(project, monkeypatch)
    caplog.set_level(logging.INFO, "sweep")
    with pytest.raises(SweepError, match="leaving, and the queue stays as it is: lacks: ") as left:
        project.worker().run()
    assert expected in str(left.value)
    assert "\n" not in str(left.value)
    assert project.attempts() == 0, "no attempt was booked"

    project.submit("other")
    with pytest.raises(SweepError):
        project.worker().run()
    assert read_sweep(project.database.engine, "other").state is SweepState.DONE
    assert project.states("other") == COMPLETE
    assert project.attempts() == 2
    told = [line for line in caplog.messages if line.startswith("lacks is left alone here: ")]
    assert len(told) == 2, "once by each worker"

    inspect.status(None, storage=project.database.url)
    rows = capsys.readouterr().out.splitlines()
    assert any("other" in row and "done" in row for row in rows), "one that is wrong hides no other"
    inspect.status(None, storage=project.database.url, as_json=True)
    shown = {found["name"]: found for found in json.loads(capsys.readouterr().out)}
    assert shown["other"]["state"] == "done"
    assert shown["lacks"]["state"] in ("active", "unreadable")
    if shown["lacks"]["state"] == "unreadable":
        assert expected in shown["lacks"]["error"]


def test_a_worker_that_is_not_to_leave_waits_and_goes_on_when_all_is_there(
    project: Project, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "sweep")
    without_dataset(project, monkeypatch)
    now = [0.0]
    worker = project.worker(drain=False)
    worker._readiness = readiness.Readiness(project.database, Device(), lambda: now[0])
    for _ in range(5):
        assert worker._claim() is None
        now[0] += 1
    prepared(project.folder / "prepared" / "tiny-f1", "f1")
    assert worker._claim() is None, "it does not look at the disk all the time"
    now[0] += readiness.AGAIN_S[0]
    assert worker._claim() is not None
    assert [line for line in caplog.messages if "lacks" in line] == [
        caplog.messages[0],
        "lacks can be worked on here again",
    ]


def test_a_full_disk_is_waited_out_even_by_a_worker_that_should_leave(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.submit("one")
    full = [True]
    monkeypatch.setattr(readiness, "looks_full", lambda _: full[0])
    monkeypatch.setattr(readiness, "AGAIN_S", (0.0, 0.0))
    worker = project.worker()
    monkeypatch.setattr(worker, "_idle", lambda: full.__setitem__(0, False))
    worker.run()
    assert project.states("one") == COMPLETE
    assert project.attempts() == 2


def test_a_gpu_that_is_gone_fails_no_trial(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.submit("one")
    monkeypatch.setattr(readiness, "visible_gpus", lambda: [])
    with pytest.raises(SweepError, match="the GPU 3 is gone"):
        project.worker(device=Device(kind="cuda", index=3)).run()
    assert project.states("one") == QUEUED
    assert project.attempts() == 0


def test_what_goes_away_during_a_training_costs_no_retry(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.folder / "vanishing.py").write_text(VANISHING)
    project.submit("one", dataset=True, trainer="vanishing:train")
    with pytest.raises(SweepError, match="its dataset is not here"):
        project.worker().run()
    assert project.states("one") == QUEUED
    assert read_sweep(project.database.engine, "one").stages[0].endings == {"not_here": 1}
    prepared(project.folder / "prepared" / "tiny-f1", "f1")
    project.worker().run()
    assert project.states("one") == COMPLETE


def test_a_trainer_that_cannot_be_imported_here_fails_no_trial(project: Project) -> None:
    trainer = project.folder / "fragile.py"
    trainer.write_text("from sweep.testing import instant_trainer as train\n")
    project.submit("one", trainer="fragile:train")
    trainer.write_text("import no_such_library\n")
    with pytest.raises(SweepError, match="No module named 'no_such_library'"):
        project.worker().run()
    assert project.states("one") == QUEUED
    assert read_sweep(project.database.engine, "one").stages[0].endings == {"not_here": 1}


def test_a_slot_that_this_program_stumbles_over_fails_in_the_end(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.submit("one")
    with writing(project.database.engine) as connection:
        connection.execute(text("UPDATE slots SET params = '{\"lr0\": 7}' WHERE ordinal = 0"))
    monkeypatch.setattr(readiness, "AGAIN_S", (0.0, 0.0))
    worker = project.worker()
    monkeypatch.setattr(worker, "_lack", lambda _: None)
    worker.run()
    wrong, right = project.slots("one")
    assert (wrong.state, wrong.failure_kind) == (SlotState.FAILED, "crashed")
    assert "7" in (wrong.message or "")
    assert right.state is SlotState.COMPLETE


@pytest.mark.parametrize("stands_in_it", [True, False], ids=["in it", "elsewhere"])
def test_a_project_that_was_moved_goes_on(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stands_in_it: bool
) -> None:
    project.submit("one", dataset=True)
    worker = project.worker()
    lease = worker._claim()
    assert lease is not None
    worker._serve(lease)
    with writing(project.database.engine) as connection:
        best = project.folder / "runs" / "one" / "000001" / "1" / "best.pt"
        connection.execute(
            text("UPDATE slots SET result = json_set(result, '$.checkpoint', :best)"),
            {"best": str(best)},
        )
    project.database.engine.dispose()
    moved = project.folder.rename(tmp_path / "moved")
    (moved / "prepared" / "tiny-f1").rename(moved / "prepared" / "renamed")
    monkeypatch.chdir(moved if stands_in_it else tmp_path)
    there = Project(moved, Database.open(f"sqlite:///{moved / 'sweep.db'}"))
    there.worker().run()
    assert there.states("one") == COMPLETE
    assert not project.folder.exists(), "nothing is written where it was"
    assert len(list((moved / "runs" / "one").glob("search/*/attempt-1/train.log"))) == 2
    record = read_here(there.database.engine, "one")
    assert record.dataset == moved / "prepared" / "renamed"
    assert record.runs == moved / paths.RUNS
    (first, _) = record.stages[0].slots
    assert first.result is not None
    assert first.result["checkpoint"] == str(moved / "runs" / "one" / "000001" / "1" / "best.pt")


@pytest.mark.parametrize("stands_in_it", [True, False], ids=["in it", "elsewhere"])
def test_a_copied_project_leaves_the_original_alone(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stands_in_it: bool
) -> None:
    project.submit("one", dataset=True)
    (project.folder / "runs" / "one").mkdir(parents=True, exist_ok=True)
    project.database.engine.dispose()
    shutil.copytree(project.folder, tmp_path / "copy")
    before = sorted((project.folder / "runs").rglob("*"))
    monkeypatch.chdir(tmp_path / "copy" if stands_in_it else tmp_path)
    copy = Project(tmp_path / "copy", Database.open(f"sqlite:///{tmp_path / 'copy' / 'sweep.db'}"))
    copy.worker().run()
    assert copy.states("one") == COMPLETE
    assert sorted((project.folder / "runs").rglob("*")) == before
    assert len(list(copy.folder.glob("runs/one/search/*/attempt-1/train.log"))) == 2


def test_weights_are_known_by_their_content(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.submit("lacks")
    file = stored_weights(project, monkeypatch)
    (project.folder / paths.WEIGHTS).mkdir()
    moved = file.rename(project.folder / paths.WEIGHTS / file.name)
    file.write_bytes(b"PK\x03\x04 others")
    assert project.worker()._claim() is not None
    engine = project.database.engine
    found = places.for_training(
        read_sweep(engine, "lacks"), "sweep.testing:instant_trainer", places.standing(engine)
    )
    assert found.model == str(moved)


def test_published_weights_are_fetched_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.submit("lacks")
    stored_weights(project, monkeypatch)
    lost = str(project.folder / "weights" / "yolov8n.pt")
    project.store("lacks", model=lost)
    fetched = []

    def resolve(model: str, folder: Path, *, expected_sha256: str) -> Any:
        fetched.append((model, folder, expected_sha256))
        raise SweepError("the network is away")

    monkeypatch.setattr(places, "resolve_weights", resolve)
    with pytest.raises(SweepError, match="cannot be fetched: the network is away"):
        project.worker().run()
    expected = hashlib.sha256(WEIGHTS).hexdigest()
    assert fetched == [("yolov8n.pt", project.folder / "weights", expected)]
    assert project.attempts() == 0
