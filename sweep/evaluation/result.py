"""What judging one model on one split comes to, as kept in `evaluation.json`."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Scores(_Frozen):
    """Mean average precision over all classes, in [0, 1]."""

    map50: float
    map50_95: float


class ClassScores(_Frozen):
    """One class's average precision by both judges; None where the split has no box of it."""

    name: str
    boxes: int
    """Ground-truth boxes of the class in the split."""
    ap50: float | None
    ap: float | None
    """Ultralytics', over IoU 0.50:0.95."""
    coco_ap50: float | None
    coco_ap: float | None
    """pycocotools', over IoU 0.50:0.95."""


class PrecisionRecall(_Frozen):
    """One class's precision at evenly spaced recall, at IoU 0.50."""

    name: str
    recall: tuple[float, ...]
    precision: tuple[float, ...]


class Evaluation(_Frozen):
    """A model judged on a split."""

    split: str
    images: int
    checkpoint: Path
    classes: tuple[str, ...]
    ultralytics: Scores
    precision: float
    """Mean over classes, at the confidence of the best F1, IoU 0.50 (Ultralytics)."""
    recall: float
    coco: Scores
    per_class: tuple[ClassScores, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Row: predicted class, column: true class; the last of each is the background."""
    confusion_confidence: float
    """Boxes below this confidence do not count in `confusion`."""
    curves: tuple[PrecisionRecall, ...]
    predictions: Path
    """COCO result file of all boxes: image_id, category_id (class + 1), bbox xywh in px, score."""

    @classmethod
    def load(cls, path: Path) -> "Evaluation":
        """Read `evaluation.json`."""
        return cls.model_validate_json(path.read_text())
