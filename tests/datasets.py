"""Dataset files and small datasets to prepare."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from sweep.data.dataset_file import DatasetSpec

ROBOFLOW = """\
train: ../train/images
val: ../valid/images
test: ../test/images

nc: 2
names: ['no', yes]

roboflow:
  workspace: w
  version: 1:30
  license: CC BY 4.0
"""
"""A `data.yaml` as Roboflow writes it; `yes` is a name, and the version no time."""


def load(folder: Path, document: dict[str, Any]) -> DatasetSpec:
    file = folder / f"{document['name']}.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return DatasetSpec.load(file)


def make_photos(folder: Path, count: int = 12, **changes: Any) -> DatasetSpec:
    """A COCO dataset of noisy 80x60 photos, a box each; photo 3 is photo 2 once more."""
    (folder / "images").mkdir()
    for index in range(count):
        draw = np.random.default_rng(2 if index == 3 else index)
        photo = draw.integers(0, 256, (60, 80, 3), np.uint8)
        cv2.imwrite(str(folder / "images" / f"{index}.jpg"), photo)
    document = {
        "images": [
            {"id": index, "file_name": f"{index}.jpg", "width": 80, "height": 60}
            for index in range(count)
        ],
        "annotations": [
            {"id": 0, "image_id": index, "category_id": 0, "bbox": [8, 6, 40, 30]}
            for index in range(count)
        ],
        "categories": [{"id": 0, "name": "cell"}],
    }
    (folder / "a.json").write_text(json.dumps(document))
    spec = {
        "name": "photos",
        "source": {"coco": "a.json", "images": "images"},
        "size": 160,
        "split": {"train": 0.5, "val": 0.25, "test": 0.25},
    }
    return load(folder, {key: value for key, value in (spec | changes).items() if value})


def make_export(folder: Path, data_yaml: str = ROBOFLOW, row: str = "{label} .5 .5 .25 .5") -> Path:
    """A folder as Roboflow exports it, five images to train on and two of each other split."""
    for number, split in enumerate(["train"] * 5 + ["valid"] * 2 + ["test"] * 2):
        image = folder / split / "images" / f"{number}_jpg.rf.0a{number}.jpg"
        label = folder / split / "labels" / f"{image.stem}.txt"
        for file in (image, label):
            file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
        cv2.imwrite(str(image), pixels)
        label.write_text(row.format(label=number % 2))
    (folder / "data.yaml").write_text(data_yaml)
    return folder / "data.yaml"
