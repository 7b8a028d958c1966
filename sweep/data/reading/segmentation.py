"""COCO's segmentations -> the boxes around them. https://cocodataset.org/#format-data"""

import math
from itertools import chain
from typing import Any

from pycocotools import mask

from sweep.data.annotation_fixes import Corners

_FIRST, _LAST, _CONTINUES = 48, 111, 0x20
"""Compressed run lengths are digits of six bits, one of which says that the number goes on."""


def box_around(segmentation: Any, width: int, height: int) -> Corners | None:
    """Return the box around polygons or run lengths; None if there is nothing to go round.

    Args:
        segmentation: As in a COCO file: a list of polygons, or an object with `counts`.
        width: Of the image, px.
        height: Of the image, px.

    Raises:
        ValueError: If it is neither; the message says what it must be.
    """
    if segmentation is None or segmentation == []:
        return None
    if isinstance(segmentation, dict):
        return _around_runs(segmentation, width, height)
    if not isinstance(segmentation, list):
        raise ValueError("must be a list of polygons, or an object with `size` and `counts`")
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon must be a list [x, y, x, y, …] of three points or more")
    numbers = list(chain.from_iterable(segmentation))
    if not all(map(is_finite, numbers)):
        raise ValueError("a polygon must hold finite numbers only")
    across = list(chain.from_iterable(polygon[::2] for polygon in segmentation))
    down = list(chain.from_iterable(polygon[1::2] for polygon in segmentation))
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
    elif isinstance(counts, str) and _is_compressed(counts):
        encoded = {"size": [height, width], "counts": counts.encode("ascii")}
    else:
        raise ValueError("counts must be a list of run lengths, or such a list compressed")
    left, top, wide, high = map(float, mask.toBbox(encoded))
    return (left, top, wide, high) if wide and high else None


def _is_compressed(counts: str) -> bool:
    """Whether pycocotools can read the text: it would read on behind one that breaks off."""
    digits = [ord(letter) - _FIRST for letter in counts]
    legal = all(0 <= digit <= _LAST - _FIRST for digit in digits)
    return bool(digits) and legal and not digits[-1] & _CONTINUES


def is_finite(value: Any) -> bool:
    """Whether a value of a JSON file is a number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond what a float holds
        return False
