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


@dataclass(frozen=True, kw_only=True)
class Match:
    """Which boxes of a picture are right."""

    right: tuple[Box, ...]
    wrong: tuple[Box, ...]
    """They find no free truth of their class."""
    missed: tuple[Box, ...]
    """Truths that no box finds."""

    @property
    def f1(self) -> float:
        """The F1 score, in [0, 1]; 1 for a picture with neither truth nor boxes."""
        total = 2 * len(self.right) + len(self.wrong) + len(self.missed)
        return 2 * len(self.right) / total if total else 1.0


def match(truth: Sequence[Box], found: Sequence[Box]) -> Match:
    """Match boxes with truths: right is one that overlaps a free truth of its class.

    Boxes claim in the order of confidence.
    """
    free = list(truth)
    right, wrong = [], []
    for box in sorted(found, key=lambda box: -box.score):
        same = [other for other in free if other.cls == box.cls]
        nearest = max(same, key=lambda other: iou(box, other), default=None)
        if nearest is not None and iou(box, nearest) >= IOU:
            free.remove(nearest)
            right.append(box)
        else:
            wrong.append(box)
    return Match(right=tuple(right), wrong=tuple(wrong), missed=tuple(free))
