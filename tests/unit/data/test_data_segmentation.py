from typing import Any

import numpy as np
import pytest
from pycocotools import mask

from sweep.data.reading.segmentation import box_around

PIXELS = np.zeros((60, 80), np.uint8)
PIXELS[10:30, 20:50] = 1
COMPRESSED = mask.encode(np.asfortranarray(PIXELS))["counts"].decode()


def test_box_around_polygons_and_run_lengths() -> None:
    assert box_around([[20, 10, 50, 10, 50, 30]], 80, 60) == (20, 10, 30, 20)
    assert box_around([[1, 2, 3, 2, 3, 4], [9, 8, 7, 8, 7, 5.5]], 80, 60) == (1, 2, 8, 6)
    assert box_around({"size": [60, 80], "counts": COMPRESSED}, 80, 60) == (20, 10, 30, 20)
    column_major = PIXELS.T.ravel()
    ends = [0, *(np.flatnonzero(np.diff(column_major)) + 1).tolist(), column_major.size]
    runs = np.diff(ends).tolist()
    assert box_around({"size": [60, 80], "counts": runs}, 80, 60) == (20, 10, 30, 20)


def test_nothing_to_go_round() -> None:
    assert box_around(None, 80, 60) is None
    assert box_around([], 80, 60) is None
    assert box_around({"size": [60, 80], "counts": [4800]}, 80, 60) is None


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ("[[1, 2]]", "must be a list of polygons"),
        ([[1, 2, 3, 4]], "three points or more"),
        ([[1, 2, 3, 4, 5]], "three points or more"),
        ([[1, 2, 3, 4, 5, "6"]], "finite numbers only"),
        ({"size": [80, 60], "counts": [4800]}, r"size must be \[60, 80\]"),
        ({"size": [60, 80], "counts": [10]}, "counts must sum to the image's 4800"),
        ({"size": [60, 80], "counts": [4801, -1]}, "counts must be whole numbers"),
        ({"size": [60, 80], "counts": COMPRESSED + "\x7f"}, "list of run lengths"),
        ({"size": [60, 80], "counts": "o"}, "list of run lengths"),
        ({"size": [60, 80]}, "list of run lengths"),
    ],
)
def test_what_is_no_segmentation_is_refused(segmentation: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        box_around(segmentation, 80, 60)
