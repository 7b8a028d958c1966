"""Average precision as the COCO challenge counts it: pycocotools, without its printing."""

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sweep.evaluation.result import Scores


@dataclass(frozen=True, kw_only=True)
class CocoPrecision:
    """Average precision of every class, in [0, 1]; None where the truth has no box of it."""

    ap50: tuple[float | None, ...]
    """At IoU 0.50; the index is the class, the category id less 1."""
    ap: tuple[float | None, ...]
    """Averaged over IoU 0.50:0.95."""

    @property
    def scores(self) -> Scores:
        """Means over the classes that have boxes; 0 where none has."""
        return Scores(map50=_mean(self.ap50), map50_95=_mean(self.ap))


def coco_precision(
    truth: Mapping[str, Any], predictions: Iterable[Mapping[str, Any]], classes: int
) -> CocoPrecision:
    """Judge `predictions` against `truth` with pycocotools (all areas, 100 boxes an image).

    Args:
        truth: A COCO annotation file as JSON; annotation ids from 1, because pycocotools takes 0
            for "unmatched".
        predictions: COCO results: `image_id`, `category_id`, `bbox` (xywh in px), `score`.
        classes: How many classes there are; their category ids are 1 to `classes`.
    """
    judge = matched(truth, predictions, classes)
    with contextlib.redirect_stdout(io.StringIO()):
        judge.accumulate()
    # Shape (IoU, recall, class, area, boxes an image); -1 where the class has no box.
    precision = judge.eval["precision"][:, :, :, 0, -1]
    return CocoPrecision(ap50=_per_class(precision[:1]), ap=_per_class(precision))


def matched(
    truth: Mapping[str, Any], predictions: Iterable[Mapping[str, Any]], classes: int
) -> COCOeval:
    """Return pycocotools' judge after it matched boxes, with the arguments of `coco_precision`."""
    found = [
        {**box, "id": number, "area": box["bbox"][2] * box["bbox"][3], "iscrowd": 0}
        for number, box in enumerate(predictions, start=1)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        judge = COCOeval(
            _indexed(truth, truth["annotations"]), _indexed(truth, found), iouType="bbox"
        )
        judge.params.catIds = list(range(1, classes + 1))
        judge.evaluate()
    return judge


def _indexed(truth: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]) -> COCO:
    """Return the images of `truth` with `annotations`; unlike `loadRes` it takes none as well."""
    index = COCO()
    index.dataset = {
        "images": truth["images"],
        "categories": truth["categories"],
        # copied: the judge writes into them
        "annotations": [dict(annotation) for annotation in annotations],
    }
    index.createIndex()
    return index


def _per_class(precision: "np.ndarray[Any, Any]") -> tuple[float | None, ...]:
    means = precision.mean(axis=(0, 1))
    return tuple(None if mean < 0 else float(mean) for mean in means)


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else 0.0
