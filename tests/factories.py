"""Sweeps that look real, without a training: records, and the files they point to."""

import json
import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from storage.snapshot.records import EpochRecord, SlotRecord, StageRecord, SweepRecord
from storage.states import SlotState, StageState, SweepState
from sweep.evaluation.result import ClassScores, Evaluation, PrecisionRecall, Scores

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
OPTIMIZERS = ["SGD", "Adam", "AdamW"]
RATES = [0.01, 0.005, 0.001, 0.0005, 0.0001]
MOMENTA = [0.1, 0.5, 0.9]
BASELINE = {"optimizer": "SGD", "lr0": 0.1, "momentum": 0.937}
BEST = {"optimizer": "AdamW", "lr0": 0.005, "momentum": 0.5}
CLASSES = (
    *("glass", "bio", "metals_and_plastic", "non_recyclable"),
    *("other", "paper", "unknown"),
)


def make_spec(space: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Return a sweep file as JSON: the published grid unless told otherwise."""
    spec = {
        "name": "taco-grid",
        "dataset": "datasets/taco.yaml",
        "schedule": "ultralytics",
        "model": "yolov8n.pt",
        "trainer": "ultralytics",
        "train": {"imgsz": 640, "batch": 16},
        "search": {
            "epochs": 5,
            "sampler": "grid",
            "pruner": "none",
            "seed": 0,
            "space": space
            or {
                "optimizer": {"choices": OPTIMIZERS},
                "lr0": {"choices": RATES},
                "momentum": {"choices": MOMENTA},
            },
        },
        "objective": "map50_95",
        "retrain": {"epochs": 100, "baseline": BASELINE},
        "seed": 0,
    }
    return {**spec, **changes}


def grid() -> list[dict[str, Any]]:
    """Return the 45 points of the published grid, in the order of the sampler."""
    return [
        {"optimizer": optimizer, "lr0": rate, "momentum": momentum}
        for optimizer in OPTIMIZERS
        for rate in RATES
        for momentum in MOMENTA
    ]


def quality(params: dict[str, Any]) -> float:
    """Return a plausible mAP50-95; `BEST` has the highest of the grid, 0.212."""
    peak, rate = {
        "SGD": (0.16, -2.0),
        "Adam": (0.19, -3.1),
        "AdamW": (0.212, math.log10(0.005)),
    }.get(params.get("optimizer", "AdamW"), (0.15, -2.5))
    distance = (math.log10(params.get("lr0", 0.005)) - rate) ** 2
    return round(
        peak * math.exp(-0.9 * distance) * (1 - 0.35 * abs(params.get("momentum", 0.5) - 0.5)), 4
    )


def make_epochs(count: int, final: float, seed: int = 0) -> tuple[EpochRecord, ...]:
    """Return epochs that rise towards `final` mAP50-95, the last one being the best."""
    noise = random.Random(seed)
    easy = 1.2 - final / 2
    records = []
    for epoch in range(1, count + 1):
        part = epoch / count
        wobble = noise.uniform(0.9, 1.0) if epoch < count else 1.0
        score = final * (1 - math.exp(-3.5 * part)) / (1 - math.exp(-3.5)) * wobble
        losses = {
            f"{where}/{name}": round(easy * base * (0.55 + 0.45 * math.exp(-3 * part)) + shift, 4)
            for name, base in (("box_loss", 2.1), ("cls_loss", 3.4), ("dfl_loss", 1.8))
            for where, shift in (("train", 0.0), ("val", 0.15 + 0.1 * part))
        }
        records.append(
            EpochRecord(
                epoch=epoch,
                map50=round(min(score * 1.7, 1.0), 4),
                map50_95=round(score, 4),
                report={
                    "epoch": epoch,
                    "map50": round(min(score * 1.7, 1.0), 4),
                    "map50_95": round(score, 4),
                    "precision": round(min(score * 2.1, 1.0), 4),
                    "recall": round(min(score * 1.6, 1.0), 4),
                    "losses": losses,
                    "lr": {"lr/pg0": 0.001},
                    "seconds": 30.0,
                },
                decision="continue",
            )
        )
    return tuple(records)


def make_slot(
    ordinal: int,
    params: dict[str, Any] | None,
    *,
    state: SlotState = SlotState.COMPLETE,
    epochs: int = 5,
    score: float | None = None,
    slot: int | None = None,
    **changes: Any,
) -> SlotRecord:
    """Return a slot in any state; a complete one scores `score` mAP50-95, or `quality`."""
    started = state not in (SlotState.QUEUED,)
    final = quality(params or {}) if score is None else score
    done = make_epochs(epochs, final, seed=ordinal) if started else ()
    result = None
    if state is SlotState.COMPLETE:
        last = done[-1]
        settings = dict(params or {})
        beta = "momentum" if settings.get("optimizer") == "SGD" else "beta1"
        result = {
            "map50": last.map50,
            "map50_95": last.map50_95,
            "precision": last.report["precision"],
            "recall": last.report["recall"],
            "best_epoch": last.epoch,
            "last_map50": last.map50,
            "last_map50_95": last.map50_95,
            "epochs": epochs,
            "seconds": 30.0 * epochs,
            "images_loaded": 1050 * epochs,
            "images_shared": 0 if ordinal == 0 else 1050 * epochs,
            "per_class": [],
            "effective": {
                "optimizer": settings.get("optimizer", "AdamW"),
                "lr0": settings.get("lr0", 0.005),
                beta: settings.get("momentum", 0.5),
                "batch": 16,
            },
            "checkpoint": f"/runs/{ordinal}/best.pt",
            "evaluation": None,
        }
    record = SlotRecord(
        id=ordinal + 1 if slot is None else slot,
        ordinal=ordinal,
        label=None,
        params=params,
        state=state,
        attempt=1 if started else 0,
        trial_number=ordinal if started else None,
        worker=f"host-{ordinal % 2}" if started else None,
        failure_kind=None,
        message=None,
        result=result,
        started_at=START + timedelta(minutes=3 * ordinal) if started else None,
        finished_at=START + timedelta(minutes=3 * ordinal + 3) if state.final else None,
        epochs=done,
    )
    return replace(record, **changes)


def make_search(slots: list[SlotRecord] | None = None, epochs: int = 5) -> StageRecord:
    """Return a search stage: the grid, with one failed and one pruned trial."""
    if slots is None:
        slots = [make_slot(ordinal, params) for ordinal, params in enumerate(grid())]
        slots[17] = make_slot(
            17,
            grid()[17],
            state=SlotState.FAILED,
            epochs=1,
            attempt=2,
            failure_kind="oom",
            message="CUDA out of memory: 7.8 GiB wanted, 6.1 GiB free; lower batch",
        )
        slots[12] = make_slot(
            12,
            grid()[12],
            state=SlotState.PRUNED,
            epochs=2,
            failure_kind="diverged",
            message="the loss is not finite in epoch 3",
        )
    final = all(slot.state.final for slot in slots)
    return StageRecord(
        id=1,
        name="search",
        study="taco-grid/search",
        state=StageState.DONE if final else StageState.OPEN,
        epochs=epochs,
        slots=tuple(slots),
    )


def make_retrain(slots: list[SlotRecord]) -> StageRecord:
    """Return a retrain stage with these slots; without slots it waits."""
    return StageRecord(
        id=2,
        name="retrain",
        study="taco-grid/retrain",
        state=StageState.OPEN if slots else StageState.WAITING,
        epochs=100,
        slots=tuple(slots),
    )


def make_sweep(*stages: StageRecord, dataset: str = "/nowhere", **spec: Any) -> SweepRecord:
    """Return a sweep of these stages, the searched grid unless told otherwise."""
    stages = stages or (make_search(),)
    done = all(stage.slots and all(slot.state.final for slot in stage.slots) for stage in stages)
    return SweepRecord(
        name="taco-grid",
        spec=make_spec(**spec),
        spec_hash="5f2d" * 16,
        dataset=Path(dataset) if dataset else None,
        fingerprint="9c1e77ab03d4",
        runs=Path("/runs"),
        model="yolov8n.pt",
        model_sha256=None,
        id=1,
        state=SweepState.DONE if done else SweepState.ACTIVE,
        created_at=START,
        stages=stages,
    )


def make_whole_sweep(folder: Path, images: int = 24) -> SweepRecord:
    """Return a finished sweep with its dataset and both evaluations on disk below `folder`."""
    truth = write_dataset(folder / "taco-9c1e77ab03d4", images)
    slots = []
    for ordinal, (label, params, skill) in enumerate(
        (("baseline", BASELINE, 0.55), ("best", BEST, 0.75))
    ):
        slot = make_slot(ordinal, dict(params), epochs=100, score=skill / 2, slot=100 + ordinal)
        path = write_evaluation(folder / label, truth, skill)
        slots.append(
            replace(slot, label=label, result={**(slot.result or {}), "evaluation": str(path)})
        )
    return make_sweep(make_search(), make_retrain(slots), dataset=str(folder / "taco-9c1e77ab03d4"))


def write_dataset(path: Path, images: int) -> dict[str, Any]:
    """Write a prepared dataset with a painted test split; return its annotations."""
    paint = random.Random(7)
    folder = path / "images" / "test"
    folder.mkdir(parents=True)
    annotations: list[dict[str, Any]] = []
    for number in range(1, images + 1):
        tint = tuple(paint.randint(120, 200) for _ in range(3))
        picture = Image.effect_noise((320, 320), 30).convert("RGB")
        picture = Image.blend(picture, Image.new("RGB", (320, 320), tint), 0.7)
        pen = ImageDraw.Draw(picture)
        for _ in range(paint.randint(1, 4)):
            cls = paint.choice([0, 1, 2, 2, 3, 3, 5, 6])  # `other` has no box
            width, height = paint.randint(40, 120), paint.randint(40, 120)
            x, y = paint.randint(0, 320 - width), paint.randint(20, 320 - height)
            pen.ellipse((x, y, x + width, y + height), fill=(40 + 30 * cls, 200 - 25 * cls, 120))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": cls + 1,
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                }
            )
        picture.save(folder / f"{number:06d}.jpg", quality=85)
    truth = {
        "images": [
            {"id": number, "file_name": f"{number:06d}.jpg", "width": 320, "height": 320}
            for number in range(1, images + 1)
        ],
        "categories": [{"id": n + 1, "name": name} for n, name in enumerate(CLASSES)],
        "annotations": annotations,
    }
    (path / "annotations").mkdir()
    (path / "annotations" / "test.json").write_text(json.dumps(truth))
    report = {
        "name": "taco",
        "fingerprint": "9c1e77ab03d4",
        "classes": CLASSES,
        "images_per_split": {"train": 1050, "val": 300, "test": images},
        "boxes_per_split": {"train": 3349, "val": 957, "test": len(annotations)},
    }
    (path / "report.json").write_text(json.dumps(report))
    return truth


def write_evaluation(folder: Path, truth: dict[str, Any], skill: float) -> Path:
    """Write the evaluation of a model that finds about `skill` of the boxes; return its path."""
    luck = random.Random(round(skill * 1000))
    size = len(CLASSES) + 1
    confusion = [[0] * size for _ in range(size)]
    predictions = []
    for box in truth["annotations"]:
        true = box["category_id"] - 1
        if luck.random() > skill:
            confusion[-1][true] += 1
            continue
        found = true if luck.random() < skill + 0.15 else luck.choice([2, 3, 6])
        confusion[found][true] += 1
        x, y, width, height = box["bbox"]
        predictions.append(
            {
                "image_id": box["image_id"],
                "category_id": found + 1,
                "bbox": [x + luck.randint(-6, 6), y + luck.randint(-6, 6), width, height],
                "score": round(luck.uniform(0.3, 0.95), 3),
            }
        )
    for image in truth["images"][:: 4 if skill > 0.6 else 2]:
        confusion[3][-1] += 1
        predictions.append(
            {
                "image_id": image["id"],
                "category_id": 4,
                "bbox": [luck.randint(0, 200), luck.randint(0, 200), 60, 50],
                "score": 0.31,
            }
        )
    boxes = [sum(row[place] for row in confusion) for place in range(len(CLASSES))]
    ap50 = [round(luck.uniform(0.4, 0.9) * skill, 4) if count else None for count in boxes]
    known = [score for score in ap50 if score is not None]
    mean = sum(known) / len(known)
    folder.mkdir()
    (folder / "predictions.json").write_text(json.dumps(predictions))
    recall = tuple(step / 100 for step in range(101))
    evaluation = Evaluation(
        split="test",
        images=len(truth["images"]),
        checkpoint=folder / "best.pt",
        classes=CLASSES,
        ultralytics=Scores(map50=mean, map50_95=mean * 0.7),
        precision=skill * 0.9,
        recall=skill * 0.8,
        coco=Scores(map50=mean * 0.99, map50_95=mean * 0.69),
        per_class=tuple(
            ClassScores(
                name=name,
                boxes=count,
                ap50=score,
                ap=None if score is None else score * 0.7,
                coco_ap50=None if score is None else score * 0.99,
                coco_ap=None if score is None else score * 0.69,
            )
            for name, count, score in zip(CLASSES, boxes, ap50, strict=True)
        ),
        confusion=tuple(tuple(row) for row in confusion),
        confusion_confidence=0.25,
        curves=tuple(
            PrecisionRecall(
                name=name,
                recall=recall,
                precision=tuple(
                    max(0.0, 1 - (point / min(1.0, 1.25 * score)) ** 3) for point in recall
                ),
            )
            for name, score in zip(CLASSES, ap50, strict=True)
            if score is not None
        ),
        predictions=folder / "predictions.json",
    )
    path = folder / "evaluation.json"
    path.write_text(evaluation.model_dump_json())
    return path
