import json
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.report.data import read
from sweep.report.figures.gallery import Picture, choose, describe, errors_of, gallery
from sweep.report.figures.matching import Box, Match, iou, match
from tests.factories import make_sweep


def box(cls: int = 0, x: float = 0, score: float = 1.0) -> Box:
    return Box(cls=cls, x=x, y=0, width=10, height=10, score=score)


def test_iou_is_the_shared_part_of_both():
    assert iou(box(), box()) == 1.0
    assert iou(box(), box(x=5)) == pytest.approx(1 / 3)
    assert iou(box(), box(x=10)) == 0.0


def test_f1_counts_each_truth_once_and_only_for_its_class():
    assert match([box()], [box()]).f1 == 1.0
    assert match([box()], [box(), box(x=1)]).f1 == pytest.approx(2 / 3)
    assert match([box()], [box(cls=1)]).f1 == 0.0
    assert match([box(), box(x=50)], [box()]).f1 == pytest.approx(2 / 3)
    assert match([], []).f1 == 1.0
    assert match([], [box()]).f1 == 0.0


def test_boxes_are_right_wrong_or_missed():
    found = match([box(), box(x=50)], [box(score=0.9), box(x=1, score=0.8), box(cls=1, score=0.7)])

    assert found.right == (box(score=0.9),)
    assert found.wrong == (box(x=1, score=0.8), box(cls=1, score=0.7))
    assert found.missed == (box(x=50),)
    assert errors_of(found) == "F1 0.400, 2 wrong, 1 missed"


def picture(name: int, baseline: float, best: float) -> Picture:
    path = Path(f"{name:02}.jpg")
    return Picture(
        path=path, name=path.name, why="", truth=(), baseline=scoring(baseline), best=scoring(best)
    )


def scoring(f1: float) -> Match:
    right = round(f1 * 10)
    return Match(
        right=(box(),) * right, wrong=(box(),) * (10 - right), missed=(box(),) * (10 - right)
    )


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
    scores = [
        drawn.score
        for picture in found.pictures
        for drawn in (*picture.best.right, *picture.best.wrong)
    ]
    assert min(scores) >= 0.25


def test_boxes_below_the_confidence_do_not_count(whole_sweep, tmp_path):
    data = read(whole_sweep)
    weak = tmp_path / "predictions.json"
    predictions = json.loads(data.judged["best"].predictions.read_text())
    weak.write_text(json.dumps([{**found, "score": 0.2} for found in predictions]))
    best = data.run("best")
    best = replace(best, evaluation=best.evaluation.model_copy(update={"predictions": weak}))

    found = gallery(replace(data, retrained=(data.run("baseline"), best)))

    assert all(picture.best.right == picture.best.wrong == () for picture in found.pictures)


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


def test_boxes_are_described_for_readers_who_do_not_see_them():
    classes = ("glass", "paper")

    assert describe((), classes) == "no boxes"
    assert describe((box(),), classes) == "1 box: 1 glass"
    assert describe((box(1), box(), box()), classes) == "3 boxes: 2 glass, 1 paper"
