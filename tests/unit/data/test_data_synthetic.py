import hashlib

import numpy as np
import pytest

from sweep.data.reading.picture import Picture
from sweep.data.reading.synthetic import COLOURS, SHAPES, draw_image, draw_shapes


def test_an_image_is_a_function_of_seed_and_index() -> None:
    pixels, boxes = draw_image(0, 7, 128)
    assert draw_shapes(count=8, size_px=128, seed=0).images[7].boxes == boxes
    assert (draw_image(0, 7, 128)[0] == pixels).all()
    assert (draw_image(1, 7, 128)[0] != pixels).any()
    assert (draw_image(0, 8, 128)[0] != pixels).any()


def test_boxes_are_the_same_for_ever() -> None:
    boxes = [box for index in range(50) for box in draw_image(0, index, 128)[1]]
    text = " ".join(f"{box.category} {box.x} {box.y} {box.width}" for box in boxes)
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == "f44d3a60dd50"


def test_boxes_enclose_their_shapes_to_the_pixel() -> None:
    for index in range(40):
        pixels, boxes = draw_image(3, index, 128)
        painted = np.zeros(pixels.shape[:2], bool)
        for colour in COLOURS:
            painted |= (pixels == colour).all(axis=2)
        assert 1 <= len(boxes) <= 3
        for box in boxes:
            left, top = int(box.x), int(box.y)
            inside = painted[top : top + int(box.height), left : left + int(box.width)]
            assert inside.shape == (box.height, box.width)
            for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
                assert side.any()
            painted[top : top + int(box.height), left : left + int(box.width)] = False
        assert painted.sum() <= 2  # nothing outside but a chance equal in the background


def test_colour_says_nothing_about_the_shape() -> None:
    seen = np.zeros((3, 3))
    for index in range(300):
        pixels, boxes = draw_image(0, index, 64)
        for box in boxes:
            middle = pixels[int(box.y + box.height / 2), int(box.x + box.width / 2)]
            seen[SHAPES.index(box.category), COLOURS.index(tuple(int(v) for v in middle))] += 1
    expected = seen.sum(axis=1, keepdims=True) * seen.sum(axis=0, keepdims=True) / seen.sum()
    assert ((seen - expected) ** 2 / expected).sum() < 13.3  # chi-square, 4 degrees, p = 0.01
    assert seen.sum(axis=1) == pytest.approx([seen.sum() / 3] * 3, rel=0.15)


def test_images_read_as_jpeg_of_the_size() -> None:
    image = draw_shapes(count=1, size_px=96, seed=0).images[0]
    picture = Picture.parse(image.read())
    assert (picture.width, picture.height, picture.format) == (96, 96, "JPEG")
    assert image.path is None
