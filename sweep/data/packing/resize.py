"""Where an image and its boxes go in the square that a training reads."""

from dataclasses import dataclass

import cv2
import numpy as np

from sweep.data.dataset_file import Resize
from sweep.data.reading.picture import Pixels

PADDING_GREY = 114
"""Ultralytics pads with the same grey."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """An image drawn at a size and a place on a canvas. Edges map to edges, exactly."""

    source_width: int
    """Pixels, of the upright image."""
    source_height: int
    drawn_width: int
    drawn_height: int
    left: int
    """Padding, px."""
    top: int
    width: int
    """Width of the canvas, px."""
    height: int

    @classmethod
    def of(cls, width: int, height: int, resize: Resize, size: int | None) -> "Placement":
        """Place an image of `width` x `height` px.

        Args:
            width: Of the upright image, px.
            height: Of the upright image, px.
            resize: How.
            size: Side of the canvas, px; not used if `resize` is `none`.
        """
        if resize == "none" or size is None:
            drawn_width, drawn_height, canvas = width, height, (width, height)
        elif resize == "stretch":
            drawn_width, drawn_height, canvas = size, size, (size, size)
        else:
            scale = size / max(width, height)
            drawn_width = max(1, round(width * scale))
            drawn_height = max(1, round(height * scale))
            canvas = (size, size)
        return cls(
            source_width=width,
            source_height=height,
            drawn_width=drawn_width,
            drawn_height=drawn_height,
            left=(canvas[0] - drawn_width) // 2,
            top=(canvas[1] - drawn_height) // 2,
            width=canvas[0],
            height=canvas[1],
        )

    @property
    def keeps_pixels(self) -> bool:
        """Whether the canvas is the image as it is."""
        return (
            (self.source_width, self.source_height)
            == (
                self.drawn_width,
                self.drawn_height,
            )
            == (self.width, self.height)
        )

    def box(
        self, x: float, y: float, width: float, height: float
    ) -> tuple[float, float, float, float]:
        """Return a box's left, top, width and height on the canvas, px."""
        across = self.drawn_width / self.source_width
        down = self.drawn_height / self.source_height
        return self.left + x * across, self.top + y * down, width * across, height * down

    def draw(self, pixels: Pixels) -> Pixels:
        """Return the canvas with the image on it: shape (height, width, 3).

        Args:
            pixels: The upright image, maybe smaller by a whole factor.
        """
        height, width = pixels.shape[:2]
        # Averaging is only defined where both sides shrink; what grows is interpolated after.
        shrunk = (min(width, self.drawn_width), min(height, self.drawn_height))
        if shrunk != (width, height):
            pixels = cv2.resize(pixels, shrunk, interpolation=cv2.INTER_AREA)
        if shrunk != (self.drawn_width, self.drawn_height):
            drawn = (self.drawn_width, self.drawn_height)
            pixels = cv2.resize(pixels, drawn, interpolation=cv2.INTER_LINEAR)
        canvas: Pixels = np.full((self.height, self.width, 3), PADDING_GREY, np.uint8)
        self.inside(canvas)[:] = pixels
        return canvas

    def inside(self, canvas: Pixels) -> Pixels:
        """Return the part of a canvas that shows the image: a view without the padding."""
        bottom, right = self.top + self.drawn_height, self.left + self.drawn_width
        return canvas[self.top : bottom, self.left : right]
