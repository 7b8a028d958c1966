"""What was done to an annotation on its way into the prepared dataset, and why."""

from dataclasses import dataclass
from enum import StrEnum

Corners = tuple[float, float, float, float]
"""Left, top, width and height; px of the source image."""

ROUNDING_PX = 0.01
"""A box that leaves its image, or its segmentation, by less was only rounded."""


class Reason(StrEnum):
    """Why an annotation was touched; in the order in which it is looked at."""

    REPEATED_ID = "repeated annotation ids"
    """Its id occurred before; it is kept under a new one, as all are."""
    RECOMPUTED = "recomputed"
    """Its box was not the one around its segmentation, and now is."""
    DROPPED = "dropped class"
    """Left out: the dataset file drops its class."""
    CROWD = "crowd"
    """Left out: it marks a group, not an object."""
    WITHOUT_AREA = "without area"
    """Left out: less than a pixel of it lies in the image, in width or height."""
    REPEATED = "repeated"
    """Left out: the image has the same box of the same class already."""
    CLIPPED = "clipped"
    """Its box left the image and was cut at the rim."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotationFix:
    """One annotation that was touched."""

    reason: Reason
    image: str
    """Name of its image in the source."""
    annotation: int | str | None
    """Its id in a COCO file, its line in a YOLO label file; None if it has neither."""
    before: Corners
    after: Corners | None
    """None: left out."""
