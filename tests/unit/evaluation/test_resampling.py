"""Average precision on drawn images is pycocotools' on the images really repeated."""

from typing import Any

import numpy as np
import pytest

from sweep.evaluation.coco import matched
from sweep.evaluation.resampling import match

CLASSES = 4
SIDE = 640


def made_up(seed: int, images: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a truth and predictions: crowds, ties, images without boxes, a rare class."""
    random = np.random.default_rng(seed)
    truth: list[dict[str, Any]] = []
    predictions: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        for _ in range(random.integers(0, 6)):
            category = int(random.choice([1, 2, 3, 4], p=[0.5, 0.3, 0.18, 0.02]))
            box = [*random.uniform(0, SIDE / 2, 2).tolist(), *random.uniform(20, 300, 2).tolist()]
            truth.append(
                {
                    "id": len(truth) + 1,
                    "image_id": image,
                    "category_id": category,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(random.random() < 0.1),
                }
            )
            for _ in range(random.integers(0, 4)):
                near = [value + random.normal(0, 12) for value in box]
                predictions.append(
                    {
                        "image_id": image,
                        "category_id": category if random.random() < 0.8 else 1,
                        "bbox": [*near[:2], max(near[2], 1.0), max(near[3], 1.0)],
                        # one digit: many detections are equally sure, in an image and over all
                        "score": round(float(random.uniform(0, 1)), 1),
                    }
                )
    return {
        "images": [{"id": number} for number in range(1, images + 1)],
        "categories": [{"id": number, "name": str(number)} for number in range(1, CLASSES + 1)],
        "annotations": truth,
    }, predictions


def repeated(draw: np.ndarray, rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Return the rows of each image as often as it was drawn, each copy an image of its own."""
    return [
        {**row, key: row[key] * 1000 + copy} for row in rows for copy in range(draw[row[key] - 1])
    ]


def by_pycocotools(
    draw: np.ndarray, truth: dict[str, Any], predictions: list[dict[str, Any]]
) -> np.ndarray:
    """Average precision by class and IoU threshold; NaN where the draw has no box of a class."""
    boxes = repeated(draw, truth["annotations"], "image_id")
    judge = matched(
        {
            **truth,
            "images": repeated(draw, truth["images"], "id"),
            "annotations": [{**box, "id": number} for number, box in enumerate(boxes, start=1)],
        },
        repeated(draw, predictions, "image_id"),
        CLASSES,
    )
    judge.accumulate()
    found = judge.eval["precision"][:, :, :, 0, -1].mean(axis=1).T
    return np.where(found < 0, np.nan, found)


@pytest.mark.parametrize("seed", range(10))
def test_every_draw_is_judged_as_if_its_images_were_repeated(seed: int, capsys: Any) -> None:
    images = (1, 2, 5, 12, 25)[seed % 5]
    truth, predictions = made_up(seed, images)
    random = np.random.default_rng(seed)
    draws = random.multinomial(images, np.full(images, 1 / images), size=20)

    found = match(truth, predictions, CLASSES).precision(draws)

    expected = np.stack([by_pycocotools(draw, truth, predictions) for draw in draws])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_the_made_up_images_hold_what_could_go_wrong() -> None:
    truth, predictions = made_up(4, 25)
    boxes, found = truth["annotations"], match(truth, predictions, CLASSES)
    assert any(box["iscrowd"] for box in boxes)
    assert len({box["image_id"] for box in boxes}) < 25
    assert any(ranking.tied for ranking in found.rankings)
    rare = {box["image_id"] for box in boxes if box["category_id"] == 4}
    draws = np.array([[1] * 25, [image not in rare for image in range(1, 26)]], dtype=np.int64)
    whole, without = np.isnan(found.precision(draws)).any(axis=2)
    assert whole.tolist() == [False] * 4
    assert without.tolist() == [False, False, False, True]


def test_no_detection_at_all_scores_zero() -> None:
    truth, _ = made_up(4, 25)
    found = match(truth, [], CLASSES).precision(np.ones((3, 25), dtype=np.int64))
    assert (found == 0).all()


def test_draws_of_other_images_are_refused() -> None:
    truth, predictions = made_up(2, 5)
    with pytest.raises(ValueError, match=r"draws: shape \(3, 4\); want \(draws, 5\)"):
        match(truth, predictions, CLASSES).precision(np.ones((3, 4), dtype=np.int64))
