import base64
import io
from itertools import combinations

import pytest
from PIL import Image

from sweep.pages import theme
from sweep.report.figures.labelling import MOST_BOXES, Photo, of_model, of_truth, photo
from sweep.report.figures.matching import Box, Match

CLASSES = ("glass", "使い捨てプラスチック容器", "a class with a very long name " * 2)
PHOTO = Photo(uri="", width=420, height=210, scale=0.5)


def box(cls: int = 0, x: float = 200, y: float = 200, score: float = 1.0) -> Box:
    return Box(cls=cls, x=x, y=y, width=100, height=60, score=score)


def test_a_picture_is_embedded_at_the_width_of_a_column(tmp_path):
    path = tmp_path / "1.png"
    Image.new("RGB", (840, 420), "white").save(path)

    found = photo(path)

    kind, data = found.uri.split(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (420, 210)
    assert (found.width, found.height, found.scale) == (420, 210, 0.5)


def test_a_box_has_the_colour_of_its_class_and_its_label_above_it():
    (drawn,) = of_truth(PHOTO, [box()], CLASSES).boxes

    assert (drawn.place.x, drawn.place.y, drawn.place.width) == (100, 100, 50)
    assert drawn.colour == theme.colour(0)
    assert (drawn.label.text, drawn.label.x, drawn.label.y) == ("glass", 100, 84)


def test_errors_come_first_and_only_so_many_boxes_are_drawn():
    right = tuple(box(x=10 * n, score=0.9) for n in range(MOST_BOXES))
    found = Match(right=right, wrong=(box(cls=1, score=0.3),), missed=(box(cls=2),))

    labelled = of_model(PHOTO, found, CLASSES)

    assert len(labelled.boxes) == MOST_BOXES
    assert labelled.left_out == 2
    assert [drawn.kind for drawn in labelled.boxes[-2:]] == ["missed", "wrong"]  # on top
    assert labelled.boxes[-1].words == f"wrong {CLASSES[1]} 0.30"
    assert len(labelled.boxes[-2].label.text) < 40


@pytest.mark.parametrize("step", [0, 3, 11, 40])
def test_labels_overlap_neither_each_other_nor_the_rim(step):
    boxes = [box(cls=n % 3, x=step * n, y=step * n / 2, score=1 - n / 50) for n in range(20)]

    labelled = of_model(PHOTO, Match(right=(), wrong=tuple(boxes), missed=()), CLASSES)

    labels = [drawn.label for drawn in labelled.boxes if drawn.label]
    assert labels
    for label in labels:
        assert label.x >= 0
        assert 0 <= label.y <= PHOTO.height - 16
    for one, other in combinations(labels, 2):
        apart = (
            one.x + one.width <= other.x
            or other.x + other.width <= one.x
            or abs(one.y - other.y) >= 16
        )
        assert apart, (one, other)


def test_words_can_be_read_on_every_colour():
    for place in range(100):
        colour = theme.colour(place)
        light, dark = sorted((theme.luminance(colour), theme.luminance(theme.text_on(colour))))
        assert (dark + 0.05) / (light + 0.05) >= 4
