"""Which class is taken for which: the confusion matrix of boxes against the truth."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from ultralytics.utils.metrics import ConfusionMatrix

CONFIDENCE = 0.25
"""Boxes at or below it do not count: what a user of the detector would see."""
IOU = 0.45
"""Least overlap of a box and the truth it is matched with."""


def confusion_matrix(
    truth: Mapping[str, Any], predictions: Iterable[Mapping[str, Any]], classes: int
) -> tuple[tuple[int, ...], ...]:
    """Count pairs of predicted and true class by Ultralytics' matching, over all images.

    A box claims the truth it overlaps most, whatever its class, in the order of confidence.

    Args:
        truth: A COCO annotation file as JSON.
        predictions: COCO results: `image_id`, `category_id`, `bbox` (xywh in px), `score`.
        classes: How many classes there are; their category ids are 1 to `classes`.

    Returns:
        (classes + 1) x (classes + 1) counts. Row: predicted class, column: true class; the last
        row counts boxes that were missed, the last column boxes where nothing is.
    """
    true_boxes: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for annotation in truth["annotations"]:
        true_boxes[annotation["image_id"]].append(annotation)
    found_boxes: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for box in predictions:
        found_boxes[box["image_id"]].append(box)

    matrix = ConfusionMatrix(names={number: str(number) for number in range(classes)})
    for image in truth["images"]:
        found = found_boxes[image["id"]]
        matrix.process_batch(
            {
                **_tensors(found),
                "conf": torch.tensor([box["score"] for box in found], dtype=torch.float64),
            },
            _tensors(true_boxes[image["id"]]),
            conf=CONFIDENCE,
            iou_thres=IOU,
        )
    return tuple(tuple(int(count) for count in row) for row in matrix.matrix)


def _tensors(boxes: list[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """Return classes (n) from 0 and corners (n, 4), xyxy in px."""
    xywh = torch.tensor([box["bbox"] for box in boxes], dtype=torch.float64).reshape(-1, 4)
    return {
        "cls": torch.tensor([box["category_id"] - 1 for box in boxes]),
        "bboxes": torch.cat([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], dim=1),
    }
