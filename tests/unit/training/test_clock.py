"""No number depends on how fast the clock goes, or on what could not be read for a moment."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweep import paths
from sweep.data.prepared import PreparedDataset
from sweep.training.contract import Decision, FailureKind, TrainingFailed, TrialJob, TrialResult

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def job(tiny: PreparedDataset, tmp_path: Path) -> TrialJob:
    return TrialJob(
        sweep="s",
        slot=1,
        attempt=1,
        params={"optimizer": "SGD", "lr0": 0.01, "momentum": 0.9},
        settings={"imgsz": 64, "batch": 6, "nbs": 6},
        epochs=1,
        dataset=tiny.path,
        run_folder=tmp_path / "run",
        model="yolov8n.yaml",
        evaluate_on="test",
    )


def train(job: TrialJob) -> TrialResult:
    from sweep.training.ultralytics import trainer

    return trainer.train(job, lambda _: Decision.CONTINUE)


class Racing:
    """A clock on which an hour passes between any two looks."""

    def __init__(self) -> None:
        self._hours = itertools.count()

    def time(self) -> float:
        return next(self._hours) * 3600.0


def test_a_busy_machine_leaves_no_box_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from ultralytics.utils import nms

    from sweep.evaluation.suppression import untimed_suppression

    found = torch.rand(5, 4 + 3, 20, generator=torch.Generator().manual_seed(0))
    calm = nms.non_max_suppression(found, 0.001, 0.7)
    monkeypatch.setattr(nms, "time", Racing())
    cut = nms.non_max_suppression(found, 0.001, 0.7)
    with untimed_suppression(), untimed_suppression():
        racing = nms.non_max_suppression(found, 0.001, 0.7)

    assert [len(boxes) > 0 for boxes in cut] == [True, False, False, False, False]
    assert all(map(torch.equal, calm, racing))
    assert all(len(boxes) > 0 for boxes in racing)


def test_validation_and_evaluation_are_the_same_on_a_racing_clock(
    job: TrialJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultralytics.utils import nms

    calm = train(job)
    monkeypatch.setattr(nms, "time", Racing())
    racing = train(replace(job, run_folder=tmp_path / "racing"))

    def numbers(result: TrialResult) -> Any:
        return replace(result, checkpoint=None, evaluation=None, seconds=0.0)

    assert numbers(racing) == numbers(calm)
    boxes = [
        json.loads((folder / paths.PREDICTIONS).read_text())
        for folder in (job.run_folder, tmp_path / "racing")
    ]
    assert boxes[0] == boxes[1]
    assert len({box["image_id"] for box in boxes[0]}) == 3, "of every image of the test split"


def test_an_image_that_cannot_be_read_just_then_is_not_left_out(
    job: TrialJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultralytics.data import utils

    before, failed = utils.check_image, []

    def once(image: str) -> Any:
        if not failed:
            failed.append(image)
            raise OSError(24, "Too many open files", image)
        return before(image)

    monkeypatch.setattr(utils, "check_image", once)
    for cache in (job.dataset or Path()).rglob("*.cache"):
        cache.unlink()

    train(replace(job, evaluate_on=None))

    assert failed
    log = list((job.dataset or Path()).rglob("train*.cache"))
    assert log, "the labels are kept for the next trial"
    import numpy as np

    for file in log:
        assert len(np.load(file, allow_pickle=True).item()["labels"]) == 18


def test_an_image_that_is_gone_fails_the_training(
    job: TrialJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultralytics.data import utils

    def never(image: str) -> Any:
        raise OSError(5, "Input/output error", image)

    def unreadable(path: Path) -> bytes:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(utils, "check_image", never)
    monkeypatch.setattr(Path, "read_bytes", unreadable)
    for cache in (job.dataset or Path()).rglob("*.cache"):
        cache.unlink()

    with pytest.raises(TrainingFailed) as told:
        train(job)

    assert told.value.kind is FailureKind.DATA
    assert "Input/output error" in str(told.value)
