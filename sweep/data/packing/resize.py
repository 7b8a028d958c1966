"""Where an image and its boxes go in the square that a training reads."""

from dataclasses import dataclass

import cv2
import numpy as np

from sweep.data.annotation_fixes import Corners
from sweep.data.dataset_file import Resize
from sweep.data.reading.picture import Pixels

PADDING_GREY = 114
"""Ultralytics pads with the same grey."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """An image drawn at a size and a place on a canvas. Edges map to edges, exactly.

    All are pairs, what is horizontal first, px.
    """

    source: tuple[int, int]
    """Size of the upright image."""
    drawn: tuple[int, int]
    """Size it is drawn at."""
    canvas: tuple[int, int]

    @property
    def corner(self) -> tuple[int, int]:
        """Left and top of what is drawn: the padding before it."""
        return (self.canvas[0] - self.drawn[0]) // 2, (self.canvas[1] - self.drawn[1]) // 2

    @classmethod
    def of(cls, width: int, height: int, resize: Resize, size: int | None) -> "Placement":
        """Place an image of `width` x `height` px.

        Args:
            width: Of the upright image, px.
            height: Of the upright image, px.
            resize: How.
            size: Side of the canvas, px; not used if `resize` is `none`.
        """
        source = width, height
        if resize == "none" or size is None:
            return cls(source=source, drawn=source, canvas=source)
        canvas = drawn = size, size
        if resize == "letterbox":
            scale = size / max(source)
            drawn = max(1, round(width * scale)), max(1, round(height * scale))
        return cls(source=source, drawn=drawn, canvas=canvas)

    @property
    def keeps_pixels(self) -> bool:
        """Whether the canvas is the image as it is."""
        return self.source == self.drawn == self.canvas

    def box(self, x: float, y: float, width: float, height: float) -> Corners:
        """Return a box's left, top, width and height on the canvas, px."""
        across, down = self.drawn[0] / self.source[0], self.drawn[1] / self.source[1]
        left, top = self.corner
        return left + x * across, top + y * down, width * across, height * down

    def draw(self, pixels: Pixels) -> Pixels:
        """Return the canvas with the image on it: shape (height, width, 3).

        Args:
            pixels: The upright image, maybe smaller by a whole factor.
        """
        height, width = pixels.shape[:2]
        # Averaging is only defined where both sides shrink; what grows is interpolated after.
        shrunk = (min(width, self.drawn[0]), min(height, self.drawn[1]))
        if shrunk != (width, height):
            pixels = cv2.resize(pixels, shrunk, interpolation=cv2.INTER_AREA)
        if shrunk != self.drawn:
            pixels = cv2.resize(pixels, self.drawn, interpolation=cv2.INTER_LINEAR)
        canvas: Pixels = np.full((*self.canvas[::-1], 3), PADDING_GREY, np.uint8)
        self.inside(canvas)[:] = pixels
        return canvas

    def inside(self, canvas: Pixels) -> Pixels:
        """Return the part of a canvas that shows the image: a view without the padding."""
        left, top = self.corner
        return canvas[top : top + self.drawn[1], left : left + self.drawn[0]]
