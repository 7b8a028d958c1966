import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from sweep.report.data import read
from sweep.report.figures.gallery import Picture, choose, describe, draw_boxes, gallery
from sweep.report.figures.matching import Box, f1, iou
from tests.factories import make_sweep


def box(cls: int = 0, x: float = 0, score: float = 1.0) -> Box:
    return Box(cls=cls, x=x, y=0, width=10, height=10, score=score)


def test_iou_is_the_shared_part_of_both():
    assert iou(box(), box()) == 1.0
    assert iou(box(), box(x=5)) == pytest.approx(1 / 3)
    assert iou(box(), box(x=10)) == 0.0


def test_f1_counts_each_truth_once_and_only_for_its_class():
    assert f1([box()], [box()]) == 1.0
    assert f1([box()], [box(), box(x=1)]) == pytest.approx(2 / 3)
    assert f1([box()], [box(cls=1)]) == 0.0
    assert f1([box(), box(x=50)], [box()]) == pytest.approx(2 / 3)
    assert f1([], []) == 1.0
    assert f1([], [box()]) == 0.0


def picture(name: int, baseline: float, best: float) -> Picture:
    path = Path(f"{name:02}.jpg")
    return Picture(path=path, why="", boxes={}, baseline_f1=baseline, best_f1=best)


def test_images_that_differ_most_come_first_then_typical_ones():
    differing = [picture(number, 0.0, number / 10) for number in range(1, 11)]
    alike = [picture(20 + number, number / 10, number / 10) for number in range(10)]

    chosen = choose(differing + alike)

    assert [found.path.stem for found in chosen[:8]] == [
        *("10", "09", "08", "07", "06", "05", "04", "03"),
    ]
    assert [found.why for found in chosen] == ["the models differ"] * 8 + ["typical"] * 4
    assert [found.path.stem for found in chosen[8:]] == ["23", "24", "22", "25"]


def test_models_that_never_differ_have_only_typical_images():
    assert [found.why for found in choose([picture(1, 0.5, 0.5)])] == ["typical"]
    assert choose([]) == ()


def test_a_whole_sweep_has_twelve_pictures(whole):
    found = gallery(whole)

    assert found.missing == ""
    assert len(found.pictures) == 12
    assert all(picture.path.is_file() for picture in found.pictures)
    scores = [drawn.score for picture in found.pictures for drawn in picture.boxes["best"]]
    assert min(scores) >= 0.25


def test_boxes_below_the_confidence_do_not_count(whole_sweep, tmp_path):
    data = read(whole_sweep)
    weak = tmp_path / "predictions.json"
    predictions = json.loads(data.judged["best"].predictions.read_text())
    weak.write_text(json.dumps([{**found, "score": 0.2} for found in predictions]))
    best = data.run("best")
    best = replace(best, evaluation=best.evaluation.model_copy(update={"predictions": weak}))

    found = gallery(replace(data, retrained=(data.run("baseline"), best)))

    assert all(picture.boxes["best"] == () for picture in found.pictures)


def test_what_cannot_be_read_leaves_a_reason(whole, tmp_path):
    run = whole.run("best")
    gone = run.evaluation.model_copy(update={"predictions": tmp_path / "predictions.json"})
    lost = (whole.run("baseline"), replace(run, evaluation=gone))

    assert gallery(replace(whole, dataset=None)).missing == (
        "the prepared dataset cannot be read here"
    )
    assert gallery(replace(whole, retrained=lost)).missing == (
        "predictions.json cannot be read here (No such file or directory)"
    )
    assert gallery(replace(whole, retrained=())).missing == (
        "there are no boxes of baseline: its training has not begun"
    )
    assert gallery(read(make_sweep())).missing == "this sweep retrains nothing"


def test_boxes_are_drawn_in_the_colour_of_their_class(tmp_path):
    path = tmp_path / "1.png"
    Image.new("RGB", (840, 420), "white").save(path)
    drawn = Box(cls=0, x=200, y=200, width=400, height=100, score=0.5)

    uri = draw_boxes(path, (drawn,), ("glass",))

    kind, data = uri.split(",")
    assert kind == "data:image/jpeg;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert image.size == (420, 210)
    assert image.getpixel((200, 101)) == pytest.approx((0, 114, 178), abs=40)  # its upper edge
    assert image.getpixel((200, 125)) == pytest.approx((255, 255, 255), abs=10)


def test_boxes_are_described_for_readers_who_do_not_see_them():
    classes = ("glass", "paper")

    assert describe((), classes) == "no boxes"
    assert describe((box(),), classes) == "1 box: 1 glass"
    assert describe((box(1), box(), box()), classes) == "3 boxes: 2 glass, 1 paper"
