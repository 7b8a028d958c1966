"""The same test images three times: the truth, the baseline's boxes, the best's boxes."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, cast

from sweep.data.prepared import PreparedDataset, Split
from sweep.evaluation.result import Evaluation
from sweep.report.data import ReportData
from sweep.report.figures.labelling import MOST_BOXES
from sweep.report.figures.matching import IOU, Box, Match, match
from sweep.stages.retrain import BASELINE, BEST

CONFIDENCE = 0.25
"""Boxes below it are not drawn and do not count."""
DIFFERING, TYPICAL = 8, 4


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One image of the split, its truth and what each model found of it."""

    path: Path
    name: str
    """In the source that the dataset was prepared from."""
    why: str
    """Why it was picked: `the models differ` or `typical`."""
    truth: tuple[Box, ...]
    baseline: Match
    best: Match


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The chosen images."""

    classes: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    rule: str = ""
    """How they were chosen, for the reader."""
    missing: str = ""
    """Why there are none; empty where there are."""


def gallery(data: ReportData) -> Gallery:
    """Choose the images where the models differ most, and some where they do as usual."""
    if data.retrain_stage is None:
        return Gallery(missing="this sweep retrains nothing")
    for label in (BASELINE, BEST):
        if why := data.missing(label):
            return Gallery(missing=f"there are no boxes of {label}: {why}")
    if data.dataset is None:
        return Gallery(missing="the prepared dataset cannot be read here")
    try:
        pictures = _pictures(data.dataset, data.judged)
    except OSError as error:
        return Gallery(
            missing=f"{Path(str(error.filename)).name} cannot be read here ({error.strerror})"
        )
    return Gallery(
        classes=data.dataset.classes,
        pictures=choose(pictures),
        rule=f"First up to {DIFFERING} images where the F1 scores of the two models differ most, "
        f"then {TYPICAL} whose mean F1 is nearest the median. F1 counts boxes of confidence "
        f"{CONFIDENCE} or more; right are those that overlap a truth of their class at IoU {IOU} "
        "or more. Thick boxes are wrong, dashed ones missed; they are drawn first, at most "
        f"{MOST_BOXES} boxes on a picture.",
    )


def choose(pictures: list[Picture]) -> tuple[Picture, ...]:
    """Apply the rule: the images that differ most, then the most typical of the rest.

    Equals are told apart by the file's name, so the same data give the same gallery.
    """
    ordered = sorted(pictures, key=lambda picture: picture.path.name)

    def gap(picture: Picture) -> float:
        return abs(picture.best.f1 - picture.baseline.f1)

    def mean(picture: Picture) -> float:
        return (picture.best.f1 + picture.baseline.f1) / 2

    differing = sorted(filter(gap, ordered), key=gap, reverse=True)[:DIFFERING]
    rest = [picture for picture in ordered if picture not in differing]
    middle = median(map(mean, ordered)) if ordered else 0.0
    typical = sorted(rest, key=lambda picture: abs(mean(picture) - middle))[:TYPICAL]
    return (
        *(replace(picture, why="the models differ") for picture in differing),
        *(replace(picture, why="typical") for picture in typical),
    )


def _pictures(dataset: PreparedDataset, judged: Mapping[str, Evaluation]) -> list[Picture]:
    split = cast(Split, judged[BEST].split)
    truth = json.loads(dataset.annotations(split).read_text())
    sets = {"truth": _by_image(truth["annotations"])}
    for label in (BASELINE, BEST):
        found = json.loads(judged[label].predictions.read_text())
        sets[label] = _by_image([box for box in found if box["score"] >= CONFIDENCE])
    pictures = []
    for image in truth["images"]:
        boxes = {name: tuple(found[image["id"]]) for name, found in sets.items()}
        pictures.append(
            Picture(
                path=dataset.images(split) / image["file_name"],
                name=image.get("source", image["file_name"]),
                why="",
                truth=boxes["truth"],
                baseline=match(boxes["truth"], boxes[BASELINE]),
                best=match(boxes["truth"], boxes[BEST]),
            )
        )
    return pictures


def _by_image(boxes: list[dict[str, Any]]) -> dict[int, list[Box]]:
    found: dict[int, list[Box]] = defaultdict(list)
    for box in boxes:
        x, y, width, height = box["bbox"]
        found[box["image_id"]].append(
            Box(
                cls=box["category_id"] - 1,
                x=x,
                y=y,
                width=width,
                height=height,
                score=box.get("score", 1.0),
            )
        )
    return found


def describe(boxes: Sequence[Box], classes: Sequence[str]) -> str:
    """Return the boxes in words: `3 boxes: 2 glass, 1 paper`."""
    if not boxes:
        return "no boxes"
    counts = Counter(classes[box.cls] for box in boxes)
    kinds = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    return f"{len(boxes)} {'box' if len(boxes) == 1 else 'boxes'}: {kinds}"


def errors_of(found: Match) -> str:
    """Return how a model did on a picture: `F1 0.667, 1 wrong, 1 missed`."""
    counts = [(len(found.wrong), "wrong"), (len(found.missed), "missed")]
    return ", ".join(
        [f"F1 {found.f1:.3f}", *(f"{count} {what}" for count, what in counts if count)]
    )
