"""A detector trained for a few seconds, judged on a split of a hand-made prepared dataset."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from sweep.data.prepared import PreparedDataset
from sweep.errors import InputError
from sweep.evaluation.evaluate import evaluate
from sweep.evaluation.result import Evaluation

pytestmark = pytest.mark.slow

SIDE = 128
CLASSES = ("disc", "square", "never")


def paint(seed: int) -> tuple[np.ndarray, list[tuple[int, int, int, int, int]]]:
    """Draw one to three discs and squares; return the image and (class, x, y, width, height)."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 90, (8, 8, 3), dtype=np.uint8)
    image = cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    boxes = []
    for corner in rng.permutation(4)[: rng.integers(1, 4)]:
        side = int(rng.integers(24, 48))
        x, y = (int(half * 64 + rng.integers(0, 64 - side)) for half in (corner % 2, corner // 2))
        cls = int(rng.integers(0, 2))
        if cls == 0:
            cv2.circle(image, (x + side // 2, y + side // 2), side // 2, (60, 60, 250), -1)
        else:
            cv2.rectangle(image, (x, y), (x + side, y + side), (250, 180, 40), -1)
        boxes.append((cls, x, y, side, side))
    return image, boxes


def write_split(root: Path, split: str, count: int) -> int:
    """Write images, labels and annotations of one split; return its number of boxes."""
    for folder in ("images", "labels"):
        (root / folder / split).mkdir(parents=True)
    images, annotations = [], []
    for number in range(1, count + 1):
        image, boxes = paint({"train": 0, "val": 10_000, "test": 20_000}[split] + number)
        cv2.imwrite(str(root / "images" / split / f"{number:06d}.jpg"), image)
        (root / "labels" / split / f"{number:06d}.txt").write_text(
            "".join(
                f"{cls} {(x + w / 2) / SIDE} {(y + h / 2) / SIDE} {w / SIDE} {h / SIDE}\n"
                for cls, x, y, w, h in boxes
            )
        )
        images.append(
            {"id": number, "file_name": f"{number:06d}.jpg", "width": SIDE, "height": SIDE}
        )
        annotations += [
            {
                "id": len(annotations) + place,
                "image_id": number,
                "category_id": cls + 1,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            for place, (cls, *box) in enumerate(boxes, start=1)
        ]
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / f"{split}.json").write_text(
        json.dumps(
            {
                "images": images,
                "categories": [{"id": n + 1, "name": name} for n, name in enumerate(CLASSES)],
                "annotations": annotations,
            }
        )
    )
    return len(annotations)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> PreparedDataset:
    root = tmp_path_factory.mktemp("prepared")
    counts = {"train": 128, "val": 16, "test": 32}
    boxes = {split: write_split(root, split, count) for split, count in counts.items()}
    (root / "data.yaml").write_text(
        f"path: {root}\ntrain: images/train\nval: images/val\ntest: images/test\n"
        f"names: {list(CLASSES)}\n"
    )
    return PreparedDataset(
        path=root,
        name="shapes",
        fingerprint="0" * 16,
        classes=CLASSES,
        images_per_split=counts,
        boxes_per_split=boxes,
    )


@pytest.fixture(scope="module", autouse=True)
def no_font_download():
    import ultralytics.data.utils

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ultralytics.data.utils, "check_font", lambda _font: None)
        yield


@pytest.fixture(scope="module")
def checkpoint(dataset, tmp_path_factory) -> Path:
    from ultralytics.models.yolo.detect import DetectionTrainer

    trainer = DetectionTrainer(
        overrides={
            "model": "yolov8n.yaml",
            "data": str(dataset.data_yaml),
            "save_dir": str(tmp_path_factory.mktemp("training")),
            "epochs": 8,  # learnt by heart, whatever the processor: both judges agree on that
            "imgsz": SIDE,
            "batch": 8,
            "nbs": 8,
            "optimizer": "AdamW",
            "lr0": 0.005,
            "warmup_epochs": 0.5,
            "workers": 0,
            "device": "cpu",
            "plots": False,
            "pretrained": False,
        }
    )
    trainer.train()
    return trainer.best


@pytest.fixture(scope="module")
def evaluation(checkpoint, dataset, tmp_path_factory) -> Evaluation:
    out = tmp_path_factory.mktemp("evaluation")
    return evaluate(checkpoint, dataset, split="test", out=out, imgsz=SIDE, batch=8, device="cpu")


def test_it_scores_as_plain_ultralytics_does(evaluation, checkpoint, dataset, tmp_path):
    from ultralytics import YOLO

    plain = YOLO(checkpoint).val(
        data=str(dataset.data_yaml),
        split="test",
        imgsz=SIDE,
        batch=8,
        device="cpu",
        plots=False,
        project=str(tmp_path),
    )

    assert evaluation.ultralytics.map50 > 0.3  # the comparison is of real detections
    assert evaluation.ultralytics.map50 == pytest.approx(plain.box.map50, abs=1e-6)
    assert evaluation.ultralytics.map50_95 == pytest.approx(plain.box.map, abs=1e-6)
    assert evaluation.precision == pytest.approx(plain.box.mp, abs=1e-6)
    assert evaluation.recall == pytest.approx(plain.box.mr, abs=1e-6)


def test_both_judges_agree(evaluation):
    assert evaluation.coco.map50 == pytest.approx(evaluation.ultralytics.map50, abs=0.03)
    assert evaluation.coco.map50_95 == pytest.approx(evaluation.ultralytics.map50_95, abs=0.03)
    for scores in evaluation.per_class[:2]:
        assert scores.coco_ap == pytest.approx(scores.ap, abs=0.03)


def test_every_true_box_is_in_the_confusion_matrix(evaluation, dataset):
    columns = [sum(column) for column in zip(*evaluation.confusion, strict=True)]

    assert columns[:3] == [scores.boxes for scores in evaluation.per_class]
    assert sum(columns[:3]) == dataset.boxes_per_split["test"]


def test_an_absent_class_has_neither_score_nor_curve(evaluation):
    assert evaluation.per_class[2].ap is None
    assert evaluation.per_class[2].coco_ap50 is None
    assert [curve.name for curve in evaluation.curves] == ["disc", "square"]
    assert len(evaluation.curves[0].recall) == len(evaluation.curves[0].precision) == 101


def test_the_files_are_whole(evaluation):
    folder = evaluation.predictions.parent

    assert Evaluation.load(folder / "evaluation.json") == evaluation
    assert set(json.loads(evaluation.predictions.read_text())[0]) == {
        "image_id",
        "category_id",
        "bbox",
        "score",
    }
    assert sorted(path.name for path in folder.iterdir()) == [
        "evaluation.json",
        "predictions.json",
    ]


def test_a_model_that_finds_nothing_scores_zero(dataset, tmp_path):
    import torch
    from ultralytics.nn.tasks import DetectionModel

    blind = DetectionModel("yolov8n.yaml", nc=3, verbose=False)
    blind.names = dict(enumerate(CLASSES))
    blind.args = {}
    for layer in blind.model[-1].cv3:
        torch.nn.init.constant_(layer[-1].bias, -50.0)
    torch.save({"model": blind, "train_args": {}}, tmp_path / "blind.pt")

    evaluation = evaluate(
        tmp_path / "blind.pt",
        dataset,
        split="test",
        out=tmp_path / "out",
        imgsz=SIDE,
        batch=8,
        device="cpu",
    )

    assert evaluation.ultralytics.map50 == evaluation.coco.map50 == 0.0
    assert json.loads(evaluation.predictions.read_text()) == []
    assert sum(evaluation.confusion[-1]) == dataset.boxes_per_split["test"]


def test_other_classes_are_refused(checkpoint, dataset, tmp_path):
    from dataclasses import replace

    other = replace(dataset, classes=("cat", "dog", "never"))
    with pytest.raises(InputError, match=r"disc, square, never.*cat, dog, never"):
        evaluate(checkpoint, other, split="test", out=tmp_path, imgsz=SIDE, batch=8, device="cpu")
