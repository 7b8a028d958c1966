"""COCO's segmentations -> the boxes around them. https://cocodataset.org/#format-data"""

import math
import re
from itertools import chain
from typing import Any

from pycocotools import mask

from sweep.data.annotation_fixes import Corners

_COMPRESSED = re.compile("[0-o]*[0-O]")
"""Run lengths as digits of six bits. A number goes on behind the upper half of them, P to o, and
pycocotools would read on behind a text that breaks off there."""


def box_around(segmentation: Any, width: int, height: int) -> Corners | None:
    """Return the box around polygons or run lengths; None if there is nothing to go round.

    Args:
        segmentation: As in a COCO file: a list of polygons, or an object with `counts`.
        width: Of the image, px.
        height: Of the image, px.

    Raises:
        ValueError: If it is neither; the message says what it must be.
    """
    if isinstance(segmentation, dict):
        return _around_runs(segmentation, width, height)
    if not isinstance(segmentation, list | None):
        raise ValueError("must be a list of polygons, or an object with `size` and `counts`")
    segmentation = [polygon for polygon in segmentation or [] if polygon not in (None, [])]
    if not segmentation:
        return None
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon must be a list [x, y, x, y, …] of three points or more")
    numbers = list(chain.from_iterable(segmentation))
    if not all(map(is_finite, numbers)):
        raise ValueError("a polygon must hold finite numbers only")
    across, down = numbers[::2], numbers[1::2]
    left, top = float(min(across)), float(min(down))
    return left, top, max(across) - left, max(down) - top


def _around_runs(runs: dict[str, Any], width: int, height: int) -> Corners | None:
    counts = runs.get("counts")
    if runs.get("size") != [height, width]:
        raise ValueError(f"size must be [{height}, {width}], the image's height and width")
    if isinstance(counts, list):
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError("counts must be whole numbers of pixels")
        if sum(counts) != width * height:
            raise ValueError(f"counts must sum to the image's {width * height} pixels")
        encoded = mask.frPyObjects(runs, height, width)
    elif isinstance(counts, str) and _COMPRESSED.fullmatch(counts):
        encoded = {"size": [height, width], "counts": counts.encode("ascii")}
    else:
        raise ValueError("counts must be a list of run lengths, or such a list compressed")
    left, top, wide, high = map(float, mask.toBbox(encoded))
    return (left, top, wide, high) if wide and high else None


def is_finite(value: Any) -> bool:
    """Whether a value of a JSON file is a number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond what a float holds
        return False
