"""The lines with which a user goes on in Ultralytics."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from storage.snapshot.records import SweepRecord
from sweep import paths
from sweep.api import best
from tests.factories import grid, make_search, make_slot, make_sweep


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepRecord:
    """Return a finished sweep whose files lie below a folder with a blank in its name."""
    project = tmp_path / "my photos"
    for split in ("val", "test"):
        (project / "data" / "images" / split).mkdir(parents=True)
    slot = make_slot(0, grid()[0])
    slot = replace(slot, result={**(slot.result or {}), "checkpoint": str(project / "w.pt")})
    sweep = make_sweep(make_search([slot]), dataset=str(project / "data"))
    found = replace(sweep, runs=project / "runs")
    monkeypatch.setattr(best, "are_written", lambda *_: True)
    (project / "runs" / found.name).mkdir(parents=True)
    for path in (paths.best_weights, paths.best_settings):
        path(found.runs, found.name).touch()
    return found


def words(record: SweepRecord) -> dict[str, list[str]]:
    """Return what a shell makes of each line."""
    found = best.best_model(record)
    assert found is not None
    return {what: shlex.split(line) for what, line in found.commands.items()}


def test_they_name_what_is_there(record: SweepRecord) -> None:
    folder, data = record.runs / record.name, record.runs.parent / "data"
    model = f"model={folder / 'best.pt'}"
    assert words(record) == {
        "train": ["yolo", "train", f"cfg={folder / 'best.yaml'}"],
        "val": ["yolo", "val", model, f"data={data / 'data.yaml'}", "imgsz=640"],
        "predict": ["yolo", "predict", model, f"source={data / 'images' / 'val'}", "imgsz=640"],
        "export": ["yolo", "export", model, "format=onnx", "imgsz=640"],
    }


def test_they_predict_on_test_images_where_there_are_any(record: SweepRecord) -> None:
    images = record.runs.parent / "data" / "images" / "test"
    (images / "000001.jpg").touch()
    assert f"source={images}" in words(record)["predict"]


def test_there_are_none_for_another_trainer_or_without_weights(record: SweepRecord) -> None:
    other = replace(record, spec={**record.spec, "trainer": "mine:train"})
    assert words(other) == {}
    paths.best_weights(record.runs, record.name).unlink()
    assert words(record) == {}
