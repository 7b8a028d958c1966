"""A trial is a plain Ultralytics training: same numbers each epoch, same final weights.

Shown without random augmentation and in one fixed order, because a trial draws both from (seed,
epoch, index); tests/unit/training/test_augmented_images.py shows that their distribution is
Ultralytics'.
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sweep.data.dataset_file import DatasetSpec
from sweep.data.prepare import prepare
from sweep.data.prepared import PreparedDataset
from sweep.training.contract import Decision, EpochReport, TrialJob, TrialResult
from sweep.training.process.child import ChildProcess
from sweep.training.process.forkserver import warm_up
from sweep.training.process.messages import Completed, EpochDone
from tests.trainings import next_word

pytestmark = pytest.mark.slow

DATASET = """
name: shapes
source: {synthetic: shapes, images: 640}
size: 64
split: {train: 0.8, val: 0.2, test: 0.0, seed: 0}
"""
EPOCHS = 7
SETTINGS = {
    **{"imgsz": 64, "batch": 16, "nbs": 16, "warmup_epochs": 1, "close_mosaic": 0},
    **dict.fromkeys(["mosaic", "translate", "scale", "fliplr", "hsv_h", "hsv_s", "hsv_v"], 0.0),
}
TRIALS = {
    "SGD": {"optimizer": "SGD", "lr0": 0.01, "momentum": 0.9},
    "AdamW": {"optimizer": "AdamW", "lr0": 0.005, "momentum": 0.9, "warmup_bias_lr": 0.0},
}

PLAIN = """
import json, sys
import torch
from torch.utils.data import RandomSampler, dataloader
from ultralytics import YOLO
from ultralytics.utils import torch_utils
from sweep.training.image_cache.randomness import order

class SameOrder(RandomSampler):
    epoch = -1

    def __iter__(self):
        self.epoch += 1
        return iter(order(0, self.epoch, len(self.data_source)))

dataloader.RandomSampler = SameOrder
torch_utils.NUM_THREADS = 1  # select_device sets this number
out, arguments = sys.argv[1], json.loads(sys.argv[2])
model = YOLO("yolov8n.yaml")
model.add_callback("on_train_end", lambda t: torch.save(t.model.state_dict(), out))
model.train(**arguments)
"""

FULL_WEIGHTS = """
import sys
from pathlib import Path
import torch
from sweep.training.ultralytics import trainer
from sweep.training.ultralytics.detection import DetectionTraining

def train(job, on_epoch):
    kept = DetectionTraining.final_eval
    def final_eval(training):
        torch.save(training.model.state_dict(), job.run_folder / "full.pt")
        kept(training)
    DetectionTraining.final_eval = final_eval
    return trainer.train(job, on_epoch)
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    folder = tmp_path_factory.mktemp("shapes")
    (folder / "shapes.yaml").write_text(DATASET)
    return prepare(DatasetSpec.load(folder / "shapes.yaml"), folder)


def train_plain(dataset: PreparedDataset, params: dict[str, Any], folder: Path) -> list[dict]:
    """Train as a user of Ultralytics does, and return its results.csv."""
    folder.mkdir()
    arguments = {
        **SETTINGS,
        **params,
        "data": str(dataset.data_yaml),
        "epochs": EPOCHS,
        "seed": 0,
        "device": "cpu",
        "plots": False,
        "project": str(folder),
        "name": "run",
    }
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "YOLO_OFFLINE": "true",
        "YOLO_CONFIG_DIR": str(folder),
    }
    subprocess.run(
        [sys.executable, "-c", PLAIN, str(folder / "full.pt"), json.dumps(arguments)],
        check=True,
        cwd=folder,
        env=environment,
    )
    with (folder / "run" / "results.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def train_trial(job: TrialJob) -> tuple[list[EpochReport], TrialResult]:
    """Train in a child process, as a worker does."""
    child = ChildProcess.start(job)
    reports = []
    try:
        while True:
            message = next_word(child)
            if isinstance(message, EpochDone):
                reports.append(message.report)
                child.answer(Decision.CONTINUE)
            elif isinstance(message, Completed):
                return reports, message.result
            else:
                pytest.fail(str(message))
    finally:
        child.kill()


def weights(path: Path) -> dict[str, Any]:
    """Return the tensors of a checkpoint in Ultralytics' format."""
    import torch

    return torch.load(path, weights_only=False)["model"].state_dict()


@pytest.mark.parametrize("optimizer", TRIALS)
def test_a_trial_equals_a_plain_training(
    optimizer: str, dataset: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    warm_up("ultralytics")  # the server then has loaded torch for `full_weights`, too
    (tmp_path / "full_weights.py").write_text(FULL_WEIGHTS)
    monkeypatch.syspath_prepend(tmp_path)
    params = TRIALS[optimizer]
    reports, result = train_trial(
        TrialJob(
            sweep="equality",
            slot=1,
            attempt=1,
            trainer="full_weights:train",
            params=params,
            settings=SETTINGS,
            epochs=EPOCHS,
            dataset=dataset.path,
            run_folder=tmp_path / "trial",
            model="yolov8n.yaml",
            schedule="ultralytics",
            threads=1,
            memory_format="contiguous",  # Ultralytics knows no other on a CPU
        )
    )
    rows = train_plain(dataset, params, tmp_path / "plain")

    assert len(reports) == len(rows) == EPOCHS
    for report, row in zip(reports, rows, strict=True):
        assert report.map50 == pytest.approx(row["metrics/mAP50(B)"], abs=1e-6)
        assert report.map50_95 == pytest.approx(row["metrics/mAP50-95(B)"], abs=1e-6)
        assert report.precision == pytest.approx(row["metrics/precision(B)"], abs=1e-6)
        assert report.recall == pytest.approx(row["metrics/recall(B)"], abs=1e-6)
        for name, value in {**report.losses, **report.lr}.items():
            written = float(f"{value:.6g}")  # as Ultralytics writes results.csv
            assert written == pytest.approx(row[name], abs=1e-6), name
    # Other seeds and other processors' kernels came to 0.6 or more (AdamW: 0.98).
    assert result.map50 > 0.2, "the run must have learnt something for the comparison to count"

    ours, plain = tmp_path / "trial", tmp_path / "plain"
    for name in ("last.pt", "best.pt"):
        mine = weights(ours / "weights" / name)
        theirs = weights(plain / "run" / "weights" / name)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine), name
    mine, theirs = torch.load(ours / "full.pt"), torch.load(plain / "full.pt")
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
