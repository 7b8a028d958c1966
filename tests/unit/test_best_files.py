"""`best.pt` and `best.yaml`: of the right training, and as Ultralytics takes them."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from storage.snapshot.records import SlotRecord, StageRecord, SweepRecord
from storage.states import SlotState
from sweep import paths
from sweep.stages.best import best_training
from sweep.worker import best_files
from tests.factories import BASELINE, BEST, grid, make_retrain, make_search, make_slot, make_sweep

ARGUMENTS = {
    **{"task": "detect", "mode": "train", "model": "old.pt", "data": "/old/data.yaml"},
    **{"epochs": 5, "patience": 0, "batch": 16, "imgsz": 640, "optimizer": "AdamW", "lr0": 0.005},
    **{"momentum": 0.5, "freeze": None, "amp": True, "seed": 0, "warmup_epochs": 3.0},
    **{"project": "/old/runs", "name": "1", "save_dir": "/old/runs/1", "exist_ok": True},
    **{"device": "cuda:0", "resume": False, "cfg": None},
}


def trained(folder: Path, slot: SlotRecord) -> SlotRecord:
    """Return a slot with weights, named for it, and settings in a run folder."""
    weights = folder / "weights" / "best.pt"
    weights.parent.mkdir(parents=True)
    weights.write_text(f"weights of {folder.name}")
    own = {**ARGUMENTS, **(slot.params or {})}
    (folder / "args.yaml").write_text(yaml.safe_dump(own))
    return replace(slot, result={**(slot.result or {}), "checkpoint": str(weights)})


def search(folder: Path) -> StageRecord:
    slots = [make_slot(place, point) for place, point in enumerate(grid())]
    slots[34] = trained(folder / "searched", slots[34])
    return make_search(slots)


def retrain(folder: Path, **changes: Any) -> StageRecord:
    baseline = make_slot(0, dict(BASELINE), epochs=100, slot=100, label="baseline", score=0.9)
    best = make_slot(1, dict(BEST), epochs=100, slot=101, label="best", score=0.4, **changes)
    if best.state is SlotState.COMPLETE:
        best = trained(folder / "retrained", best)
    return make_retrain([baseline, best])


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that writes a record's files and returns what they hold."""
    (tmp_path / "runs").mkdir()

    def write(*stages: StageRecord) -> tuple[str, dict[str, Any]]:
        record = replace(make_sweep(*stages, dataset="/data/taco"), runs=tmp_path / "runs")
        monkeypatch.setattr(best_files, "read_here", lambda *_: record)
        assert best_files.write_best(None, record.name)  # type: ignore[arg-type]
        assert written(record)
        folder = record.runs / record.name
        return (folder / "best.pt").read_text(), yaml.safe_load((folder / "best.yaml").read_text())

    return write


def written(record: SweepRecord) -> bool:
    best = best_training(record.stages, "map50_95")
    return best is not None and best_files.are_written(record, best)


def test_they_are_the_searchs_best_until_it_is_retrained(files: Any, tmp_path: Path) -> None:
    weights, settings = files(search(tmp_path))
    assert weights == "weights of searched"
    assert {name: settings[name] for name in BEST} == BEST
    assert settings["epochs"] == 5
    weights, settings = files(search(tmp_path / "2"), retrain(tmp_path))
    assert weights == "weights of retrained", "not the baseline's, though it scored higher"
    assert settings["epochs"] == 100


@pytest.mark.parametrize("state", [SlotState.FAILED, SlotState.RUNNING, SlotState.QUEUED])
def test_a_retraining_that_has_not_completed_changes_nothing(
    files: Any, tmp_path: Path, state: SlotState
) -> None:
    assert files(search(tmp_path), retrain(tmp_path, state=state))[0] == "weights of searched"


def test_the_latest_retraining_counts(files: Any, tmp_path: Path) -> None:
    again = replace(retrain(tmp_path / "again"), id=3, name="retrain-2", epochs=200)
    _, settings = files(search(tmp_path), retrain(tmp_path), again)
    assert settings["epochs"] == 200


def test_the_settings_are_those_of_the_training_but_not_where_it_ran(
    files: Any, tmp_path: Path
) -> None:
    _, settings = files(search(tmp_path))
    assert list(settings)[:10] == [
        *("task", "mode", "model", "data", "epochs"),
        *("optimizer", "lr0", "momentum", "imgsz", "batch"),
    ]
    assert (settings["model"], settings["data"]) == ("yolov8n.pt", "/data/taco/data.yaml")
    assert settings["warmup_epochs"] == 3.0
    gone = {"project", "name", "save_dir", "exist_ok", "device", "resume", "cfg"}
    assert settings.keys() == ARGUMENTS.keys() - gone


def test_ultralytics_takes_them(files: Any, tmp_path: Path) -> None:
    from ultralytics.cfg import DEFAULT_CFG_DICT, check_dict_alignment, get_cfg

    _, settings = files(search(tmp_path))
    check_dict_alignment(DEFAULT_CFG_DICT, settings)  # as `yolo train cfg=` does
    found = get_cfg(overrides=settings)
    for name in ("optimizer", "lr0", "momentum", "imgsz", "batch", "epochs", "model", "data"):
        assert getattr(found, name) == settings[name]


def test_the_same_again_writes_nothing(files: Any, tmp_path: Path) -> None:
    files(search(tmp_path))
    before = [path.stat().st_mtime_ns for path in sorted((tmp_path / "runs").rglob("best.*"))]
    shutil.rmtree(tmp_path / "searched")  # what is not needed any more may be removed
    stages = [make_slot(place, point) for place, point in enumerate(grid())]
    result = {**(stages[34].result or {}), "checkpoint": str(tmp_path / "searched/weights/best.pt")}
    stages[34] = replace(stages[34], result=result)
    assert files(make_search(stages))[0] == "weights of searched"
    after = [path.stat().st_mtime_ns for path in sorted((tmp_path / "runs").rglob("best.*"))]
    assert after == before


def test_weights_are_found_where_the_project_was_moved_to(files: Any, tmp_path: Path) -> None:
    stage = search(tmp_path / "before")
    folders = paths.RunFolders(
        runs=tmp_path / "runs", sweep="taco-grid", stage="search", slot=35, number=34, label=None
    )
    folders.make()
    (tmp_path / "before" / "searched").rename(folders.attempt(1))
    assert files(stage)[0] == "weights of searched"


def test_files_of_an_earlier_sweep_of_this_name_are_not_taken_for_its_own(
    files: Any, tmp_path: Path
) -> None:
    files(search(tmp_path))
    other = make_sweep(search(tmp_path / "2"))
    finished = replace(other.stages[0].slots[34], finished_at=other.created_at)
    stage = replace(other.stages[0], slots=(*other.stages[0].slots[:34], finished))
    assert not written(replace(other, runs=tmp_path / "runs", stages=(stage,)))


def test_a_trainer_that_keeps_no_weights_leaves_settings_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = make_slot(0, {"lr0": 0.1}, score=0.3)
    slot = replace(slot, result={**(slot.result or {}), "checkpoint": None})
    record = make_sweep(make_search([slot]), dataset="", trainer="mine:train", train={"depth": 3})
    record = replace(record, runs=tmp_path)
    monkeypatch.setattr(best_files, "read_here", lambda *_: record)
    assert best_files.write_best(None, record.name)  # type: ignore[arg-type]
    folder = tmp_path / record.name
    assert not (folder / "best.pt").exists()
    assert yaml.safe_load((folder / "best.yaml").read_text()) == {
        **{"model": "yolov8n.pt", "epochs": 5, "lr0": 0.1, "depth": 3}
    }


def test_nothing_is_written_where_nothing_was_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = [make_slot(place, point, score=0.0) for place, point in enumerate(grid()[:3])]
    record = replace(make_sweep(make_search(slots)), runs=tmp_path)
    monkeypatch.setattr(best_files, "read_here", lambda *_: record)
    assert best_files.write_best(None, record.name)  # type: ignore[arg-type]
    assert list(tmp_path.rglob("best.pt")) == list(tmp_path.rglob("best.yaml")) == []
    assert best_training(record.stages, "map50_95") is None


def test_weights_that_are_elsewhere_are_told_and_leave_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = replace(make_sweep(make_search([make_slot(0, grid()[0])])), runs=tmp_path)
    monkeypatch.setattr(best_files, "read_here", lambda *_: record)
    assert not best_files.write_best(None, record.name)  # type: ignore[arg-type]
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {".best.lock"}
