"""TACO's published annotations through the whole path, with photos drawn at their sizes."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from sweep.data.prepare import prepare
from sweep.data.prepared import SPLITS
from tests.conftest import SHARED_DATA
from tests.datasets import load

TACO = SHARED_DATA / "taco" / "annotations.json"
SHIPPED = Path(__file__).parents[3] / "configs" / "datasets" / "taco.yaml"
LEFT_OUT = ("dropped class", "crowd", "without area", "repeated")

pytestmark = pytest.mark.skipif(not TACO.exists(), reason=f"needs {TACO}, which is not shipped")


def subset(count: int) -> dict[str, Any]:
    """Return TACO with `count` of its images, those with boxes that leave them among them."""
    document: dict[str, Any] = json.loads(TACO.read_bytes())
    images = {image["id"]: image for image in document["images"]}
    leaving = {
        found["image_id"]
        for found in document["annotations"]
        if leaves(found["bbox"], images[found["image_id"]])
    }
    others = sorted(images.keys() - leaving)
    kept = leaving | set(random.Random(0).sample(others, count - len(leaving)))
    document["images"] = [image for image in document["images"] if image["id"] in kept]
    document["annotations"] = [
        found for found in document["annotations"] if found["image_id"] in kept
    ]
    return document


def leaves(box: list[float], image: dict[str, Any]) -> bool:
    x, y, width, height = box
    outside = max(-x, -y, x + width - image["width"], y + height - image["height"])
    return outside > 0.01


def draw(image: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(image["id"]).integers(0, 256, (12, 12, 3), np.uint8)
    cv2.imwrite(str(path), cv2.resize(coarse, (image["width"], image["height"])))


@pytest.mark.slow
def test_every_box_of_taco_is_accounted_for(tmp_path: Path) -> None:
    document = subset(40)
    for image in document["images"]:
        draw(image, tmp_path / "taco" / "images" / image["file_name"])
    (tmp_path / "taco" / "annotations.json").write_text(json.dumps(document))
    shipped = yaml.safe_load(SHIPPED.read_text())
    dataset = prepare(load(tmp_path, shipped), tmp_path / "out")
    report = json.loads(dataset.report.read_text())

    left_out = sum(report["cleaning"][reason] for reason in LEFT_OUT)
    assert sum(dataset.boxes_per_split.values()) + left_out == len(document["annotations"])
    assert len(report["mended"]["clipped"]) == report["cleaning"]["clipped"] == 7

    merged = {name: target for target, names in shipped["classes"].items() for name in names}
    names = {found["id"]: merged[found["name"]] for found in document["categories"]}
    files = {image["id"]: image["file_name"] for image in document["images"]}
    side: dict[str, str] = {}
    written: Counter[tuple[str, str]] = Counter()
    for split in SPLITS:
        coco = json.loads(dataset.annotations(split).read_text())
        side |= {image["source"]: split for image in coco["images"]}
        written += Counter(
            (split, dataset.classes[found["category_id"] - 1]) for found in coco["annotations"]
        )
        for found in coco["annotations"]:
            x, y, width, height = found["bbox"]
            assert min(x, y) >= 0 and max(x + width, y + height) <= 640 + 1e-9
    counted = Counter(
        (side[files[found["image_id"]]], names[found["category_id"]])
        for found in document["annotations"]
    )
    assert written == counted  # nothing of TACO is left out
    assert report["boxes_per_class"] == {
        split: {name: written[split, name] for name in dataset.classes} for split in SPLITS
    }
