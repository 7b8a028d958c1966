"""Drawn images: circles, squares and triangles that a small network learns within minutes."""

import random
from functools import partial

import cv2
import numpy as np

from sweep.data.reading.picture import Pixels, encode_jpeg
from sweep.data.reading.source import Source, SourceBox, SourceImage

SHAPES = ("circle", "square", "triangle")
COLOURS = ((40, 40, 230), (40, 200, 40), (230, 80, 40))
"""Blue, green, red; the colour says nothing about the shape."""
MAX_SHAPES = 3
_TRIES = 20
"""Places tried for a shape before it is left out, because shapes do not overlap."""


def draw_shapes(*, count: int, size_px: int, seed: int) -> Source:
    """Return `count` square images of `size_px` px with 1 to 3 shapes each.

    Image number `index` is a function of `seed`, `index` and the size only.
    """
    return Source(
        images=tuple(
            SourceImage(
                name=f"shapes {index}",
                width=size_px,
                height=size_px,
                boxes=draw_image(seed, index, size_px)[1],
                read=partial(_encoded, seed, index, size_px),
            )
            for index in range(count)
        ),
        classes=SHAPES,
    )


def draw_image(seed: int, index: int, size_px: int) -> tuple[Pixels, tuple[SourceBox, ...]]:
    """Draw one image; its boxes enclose the shapes to the pixel."""
    # Only `random()` is promised to give the same numbers in every Python version.
    draw = random.Random(f"{seed}/{index}").random

    def below(limit: int) -> int:
        return int(draw() * limit)

    coarse = np.array([[[80 + 80 * draw() for _ in range(3)] for _ in range(4)] for _ in range(4)])
    smooth = cv2.resize(coarse, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    pixels: Pixels = smooth.clip(0, 255).astype(np.uint8)
    boxes: list[SourceBox] = []
    for _ in range(1 + below(MAX_SHAPES)):
        shape, colour = SHAPES[below(3)], COLOURS[below(3)]
        for _ in range(_TRIES):
            radius = round(size_px * (0.1 + 0.12 * draw()))
            side = 2 * radius + 1
            left, top = below(size_px - side + 1), below(size_px - side + 1)
            if all(_apart(box, left, top, side) for box in boxes):
                _fill(pixels, shape, colour, (left, top), radius)
                boxes.append(SourceBox(category=shape, x=left, y=top, width=side, height=side))
                break
    return pixels, tuple(boxes)


def _encoded(seed: int, index: int, size_px: int) -> bytes:
    return encode_jpeg(draw_image(seed, index, size_px)[0])


def _apart(box: SourceBox, left: int, top: int, side: int) -> bool:
    return (
        left >= box.x + box.width
        or box.x >= left + side
        or top >= box.y + box.height
        or box.y >= top + side
    )


def _fill(
    pixels: Pixels, shape: str, colour: tuple[int, int, int], corner: tuple[int, int], radius: int
) -> None:
    left, top = corner
    right, bottom = left + 2 * radius, top + 2 * radius
    if shape == "circle":
        cv2.circle(pixels, (left + radius, top + radius), radius, colour, cv2.FILLED)
    elif shape == "square":
        cv2.rectangle(pixels, (left, top), (right, bottom), colour, cv2.FILLED)
    else:
        corners = np.array([[left + radius, top], [left, bottom], [right, bottom]], np.int32)
        cv2.fillPoly(pixels, [corners], colour)
