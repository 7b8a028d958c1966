"""How well boxes meet the truth on one image."""

from collections.abc import Sequence
from dataclasses import dataclass

IOU = 0.5
"""Least overlap of a box with the truth it finds."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle with a class."""

    cls: int
    """Index into the dataset's classes."""
    x: float
    """Left, px of the image."""
    y: float
    """Top, px."""
    width: float
    height: float
    score: float = 1.0
    """Confidence; 1 for the truth."""


def iou(first: Box, second: Box) -> float:
    """Return intersection over union, in [0, 1]."""
    across = min(first.x + first.width, second.x + second.width) - max(first.x, second.x)
    down = min(first.y + first.height, second.y + second.height) - max(first.y, second.y)
    shared = max(across, 0.0) * max(down, 0.0)
    union = first.width * first.height + second.width * second.height - shared
    return shared / union if union > 0 else 0.0


def f1(truth: Sequence[Box], found: Sequence[Box]) -> float:
    """Return the F1 score of `found`: a box is right that overlaps a free truth of its class.

    Boxes claim in the order of confidence. An image with neither truth nor boxes scores 1.
    """
    if not truth and not found:
        return 1.0
    free = list(truth)
    right = 0
    for box in sorted(found, key=lambda box: -box.score):
        same = [other for other in free if other.cls == box.cls]
        nearest = max(same, key=lambda other: iou(box, other), default=None)
        if nearest is not None and iou(box, nearest) >= IOU:
            free.remove(nearest)
            right += 1
    return 2 * right / (len(truth) + len(found))
