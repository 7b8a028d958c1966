"""Whole sweeps with real trainings: real photos, and a kill in mid-sweep."""

import json
import signal
from pathlib import Path
from typing import Any

import optuna
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sweep.data.prepared import PreparedDataset
from sweep.evaluation.result import Evaluation
from tests.command import Command, kill_group, wait_until
from tests.conftest import SHARED_DATA

pytestmark = pytest.mark.slow

BCCD = SHARED_DATA / "bccd"


def study(sweep: Command, name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{sweep.folder / 'sweep.db'}")


@pytest.mark.skipif(not BCCD.exists(), reason=f"needs the BCCD photos in {BCCD}")
def test_a_sweep_on_real_photos_from_coco_file_to_report(sweep: Command) -> None:
    dataset = sweep.write(
        "bccd.yaml",
        {
            "name": "bccd",
            "source": {"coco": str(BCCD / "annotations.json"), "images": str(BCCD / "images")},
            "size": 160,
            "split": {"train": 0.7, "val": 0.15, "test": 0.15},
        },
    )
    prepared = sweep("prepare", dataset, "--json")
    assert prepared.code == 0, prepared.err
    found = PreparedDataset.load(Path(json.loads(prepared.out)["path"]))
    assert sum(found.images_per_split.values()) == 364
    assert sum(found.boxes_per_split.values()) == 4888 - 2  # two boxes have no area
    file = sweep.write(
        "bccd-sweep.yaml",
        {
            "name": "bccd",
            "dataset": "bccd.yaml",
            "model": "yolov8n.yaml",
            "train": {"imgsz": 160, "batch": 16, "nbs": 16},
            "search": {
                "epochs": 2,
                "space": {"optimizer": ["SGD", "AdamW"], "lr0": [0.01, 0.002], "momentum": [0.9]},
            },
            "retrain": {"epochs": 3, "baseline": {"optimizer": "SGD", "lr0": 0.1}},
        },
    )
    done = sweep("run", file)
    assert done.code == 0, done.err
    search, retrain = sweep.status("bccd")["stages"]
    assert (search["counts"]["complete"], retrain["counts"]["complete"]) == (4, 2)
    assert sweep("status", "bccd", "--json").code == 0
    check_evaluations(sweep, found)
    for trial in study(sweep, "bccd/search").trials:
        attributes = trial.user_attrs
        assert attributes["effective_optimizer"] == trial.params["optimizer"]
        assert attributes["effective_lr0"] == trial.params["lr0"]
        assert trial.value == attributes["map50_95"]
    report = sweep.folder / "reports" / "bccd" / "report.html"
    page = report.read_text()
    for name in ("RBC", "WBC", "Platelets", "Confusion", "Precision-recall"):
        assert name in page


def check_evaluations(sweep: Command, dataset: PreparedDataset) -> None:
    folders = sorted((sweep.folder / "runs" / "bccd").glob("retrain/*/*/evaluation.json"))
    assert len(folders) == 2
    for path in folders:
        evaluation = Evaluation.load(path)
        assert evaluation.images == dataset.images_per_split["test"]
        assert sum(row.boxes for row in evaluation.per_class) == dataset.boxes_per_split["test"]
        assert judged_by_hand(dataset, evaluation) == pytest.approx(
            (evaluation.coco.map50_95, evaluation.coco.map50), abs=1e-12
        )


def judged_by_hand(dataset: PreparedDataset, evaluation: Evaluation) -> tuple[float, float]:
    """Return mAP50-95 and mAP50 as a user of pycocotools gets them from the files.

    Ultralytics' own differ the more, the less a training has learnt: no bound holds everywhere.
    """
    truth = COCO(dataset.annotations("test"))
    judge = COCOeval(truth, truth.loadRes(str(evaluation.predictions)), iouType="bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    return judge.stats[0], judge.stats[1]


def quick_sweep(sweep: Command) -> Path:
    sweep.write(
        "shapes.yaml",
        {
            "name": "shapes",
            "source": {"synthetic": "shapes", "images": 48},
            "size": 64,
            "split": {"train": 0.7, "val": 0.15, "test": 0.15},
        },
    )
    content: dict[str, Any] = {
        "name": "shapes",
        "dataset": "shapes.yaml",
        "model": "yolov8n.yaml",
        "train": {"imgsz": 64, "batch": 8, "nbs": 8},
        "search": {
            "epochs": 2,
            "space": {"optimizer": ["SGD", "Adam", "AdamW"], "lr0": [0.01, 0.001]},
        },
        "retrain": {"epochs": 2, "baseline": {"optimizer": "SGD", "lr0": 0.1}},
    }
    return sweep.write("sweep.yaml", content)


def complete(sweep: Command) -> int:
    done = sweep("status", "shapes", "--json")
    return 0 if done.code else int(json.loads(done.out)["stages"][0]["counts"]["complete"])


def test_killed_in_mid_sweep_every_point_is_complete_exactly_once(sweep: Command) -> None:
    file = quick_sweep(sweep)
    for finished in (1, 3):
        running = sweep.start("run", file)
        wait_until(lambda target=finished: complete(sweep) >= target, running)
        kill_group(running)
    assert sweep("run", file).code == 0
    trials = study(sweep, "shapes/search").trials
    assert {trial.state for trial in trials} == {optuna.trial.TrialState.COMPLETE}
    assert sorted((trial.params["optimizer"], trial.params["lr0"]) for trial in trials) == sorted(
        (optimizer, lr0) for optimizer in ("SGD", "Adam", "AdamW") for lr0 in (0.01, 0.001)
    )
    assert [len(trial.intermediate_values) for trial in trials] == [2] * 6
    retrained = study(sweep, "shapes/retrain").trials
    assert [trial.state.name for trial in retrained] == ["COMPLETE", "COMPLETE"]


def test_ctrl_c_ends_the_epoch_at_hand_and_fails_nothing(sweep: Command) -> None:
    file = quick_sweep(sweep)
    running = sweep.start("run", file, "--workers", "1")
    wait_until(lambda: complete(sweep) >= 1, running)
    running.send_signal(signal.SIGINT)
    running.communicate()
    assert running.returncode == 130
    counts = sweep.status("shapes")["stages"][0]["counts"]
    assert counts["failed"] == counts["running"] == 0
    assert counts["queued"] > 0
