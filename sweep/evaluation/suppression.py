"""Suppression of overlapping boxes without a clock.

Ultralytics stops it after 2 s and 0.05 s an image, and leaves the images that are left without a
box. On a machine that is busy for a moment a model then scores less than it should, with a line in
the log and no error.
"""

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager

# Ultralytics suppresses by torchvision's function where something has loaded it, else by its own.
import torchvision.ops  # type: ignore[import-untyped]  # noqa: F401
from ultralytics.utils import nms


@contextmanager
def untimed_suppression() -> Iterator[None]:
    """Let Ultralytics take as long as it needs in here; may be entered again inside."""
    original = nms.non_max_suppression
    nms.non_max_suppression = functools.partial(original, max_time_img=math.inf)
    try:
        yield
    finally:
        nms.non_max_suppression = original
