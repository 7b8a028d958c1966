"""Truth and predictions by hand, in COCO's form."""

from collections.abc import Callable
from typing import Any

import pytest

Boxes = dict[int, list[tuple[Any, ...]]]


@pytest.fixture
def truth() -> Callable[[Boxes, int], dict[str, Any]]:
    """Make a COCO file of {image: [(class, x, y, width, height), ...]} and a number of classes."""

    def make(boxes: Boxes, classes: int) -> dict[str, Any]:
        flat = [(image, *box) for image, found in boxes.items() for box in found]
        return {
            "images": [{"id": image, "width": 640, "height": 640} for image in boxes],
            "categories": [{"id": number + 1, "name": str(number)} for number in range(classes)],
            "annotations": [
                {
                    "id": number,
                    "image_id": image,
                    "category_id": cls + 1,
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                }
                for number, (image, cls, x, y, w, h) in enumerate(flat, start=1)
            ],
        }

    return make


@pytest.fixture
def found() -> Callable[[Boxes], list[dict[str, Any]]]:
    """Make COCO results of {image: [(class, x, y, width, height, score), ...]}."""

    def make(boxes: Boxes) -> list[dict[str, Any]]:
        return [
            {"image_id": image, "category_id": cls + 1, "bbox": [x, y, w, h], "score": score}
            for image, found in boxes.items()
            for cls, x, y, w, h, score in found
        ]

    return make
