"""Average precision on images drawn with replacement, many times over, exactly as COCO counts it.

Which detection is a hit does not depend on the other images, so pycocotools matches boxes once.
A draw then only says how often each image counts. A detection of an image that was drawn `w` times
stands `w` times in the ranking; of these only the last matters for a hit, whose precision is the
highest, and only their number for a miss. So a draw's precision at every hit comes from two sums
over the images, and all draws together from one product of matrices.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.cocoeval import COCOeval

from sweep.evaluation.coco import matched

Draws = NDArray[np.integer[Any]]
"""How often each image was drawn, of shape (draws, images)."""
Floats = NDArray[np.float64]

_RECALLS = np.linspace(0, 1, 101)
_STEPS = len(_RECALLS) - 1
_LATE = np.array([_RECALLS[step] > step / _STEPS for step in range(_STEPS + 1)])
"""Recalls that `linspace` rounds up, so that a recall of just this value does not reach them."""
_AT_ONCE = 500
"""Draws in one product; their matrices should stay in the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class _Ranking:
    """The detections of one class over all images, the surest first."""

    truths: NDArray[np.int64]
    """Boxes to be found, by image."""
    image: NDArray[np.int64]
    tied: tuple[tuple[int, int], ...]
    """Runs `[from, to)` of equally sure detections in one image: a copy of the image follows with
    the whole run, not each detection with its copies."""
    hit: NDArray[np.bool_]
    """By IoU threshold and detection."""
    counts: NDArray[np.bool_]
    """Of the same shape; a match with a crowd counts neither as a hit nor as a miss."""


@dataclass(frozen=True, kw_only=True)
class Matches:
    """One model's detections on a split, matched with the truth."""

    images: tuple[int, ...]
    """Ids, in the order of the columns of `Draws`."""
    rankings: tuple[_Ranking, ...]

    def precision(self, draws: Draws) -> Floats:
        """Return the average precision on every draw, of shape (draws, classes, IoU thresholds).

        NaN where a draw has no box of the class. The thresholds are pycocotools': 0.50 to 0.95.

        Raises:
            ValueError: If `draws` does not have a column for every image.
        """
        if draws.ndim != 2 or draws.shape[1] != len(self.images):
            raise ValueError(f"draws: shape {draws.shape}; want (draws, {len(self.images)})")
        copies = int(draws.max(initial=0))
        laid_out = [_laid_out(ranking, copies) for ranking in self.rankings]
        parts = [draws[start : start + _AT_ONCE] for start in range(0, len(draws), _AT_ONCE)]

        def judged(part: Draws) -> Floats:
            return np.stack([classes.precision(part) for classes in laid_out], axis=1)

        with ThreadPoolExecutor() as threads:  # numpy leaves the interpreter's lock
            return np.concatenate([np.zeros((0, *self._shape)), *threads.map(judged, parts)])

    @property
    def _shape(self) -> tuple[int, int]:
        return len(self.rankings), len(self.rankings[0].hit)


def match(
    truth: Mapping[str, Any], predictions: Iterable[Mapping[str, Any]], classes: int
) -> Matches:
    """Match a model's detections with the truth; arguments as in `coco.coco_precision`."""
    judge = matched(truth, predictions, classes)
    images = tuple(judge.params.imgIds)
    ranges = len(judge.params.areaRng)
    return Matches(
        images=images,
        rankings=tuple(
            _ranked(judge, judge.evalImgs[start : start + len(images)])
            for start in range(0, classes * ranges * len(images), ranges * len(images))
        ),
    )


def _ranked(judge: COCOeval, found: Sequence[Mapping[str, Any] | None]) -> _Ranking:
    """Return the detections of one class; `found` is what pycocotools says of each image."""
    most, thresholds = judge.params.maxDets[-1], len(judge.params.iouThrs)
    truths = np.zeros(len(found), dtype=np.int64)
    image, scores = [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
    hit, ignored = ([np.zeros((thresholds, 0), dtype=np.bool_)] for _ in range(2))
    for number, of_image in enumerate(found):
        if of_image is None:
            continue
        truths[number] = np.count_nonzero(np.asarray(of_image["gtIgnore"]) == 0)
        scores.append(np.asarray(of_image["dtScores"][:most], dtype=np.float64))
        image.append(np.full(len(scores[-1]), number))
        hit.append(of_image["dtMatches"][:, :most] > 0)
        ignored.append(of_image["dtIgnore"][:, :most] > 0)
    sure = np.concatenate(scores)
    order = np.argsort(-sure, kind="mergesort")
    ranked = np.concatenate(image)[order]
    return _Ranking(
        truths=truths,
        image=ranked,
        tied=tuple(_tied(ranked, sure[order])),
        hit=np.concatenate(hit, axis=1)[:, order],
        counts=~np.concatenate(ignored, axis=1)[:, order],
    )


def _tied(image: NDArray[np.int64], sure: Floats) -> Iterator[tuple[int, int]]:
    place = 0
    for _, run in groupby(zip(image.tolist(), sure.tolist(), strict=True)):
        start, place = place, place + len(list(run))
        if place - start > 1:
            yield start, place


@dataclass(frozen=True, kw_only=True)
class _LaidOut:
    """A ranking ready to be weighed by draws."""

    ranking: _Ranking
    copies: int
    """How often an image is drawn at most."""
    column: NDArray[np.int64]
    """The image, or the copy of an image, of every hit; of all IoU thresholds one by one."""
    before: NDArray[np.float32]
    """Misses that rank before a hit, of shape (hits, images and copies)."""
    ends: tuple[int, ...]
    """Where the hits of each IoU threshold end."""

    def precision(self, draws: Draws) -> Floats:
        """Return the average precision on draws, of shape (draws, IoU thresholds)."""
        wanted = draws @ self.ranking.truths
        weights = self._weights(draws)
        wrong, drawn = self.before @ weights, weights[self.column]
        found, start = np.zeros((len(self.ends), len(draws))), 0
        for threshold, end in enumerate(self.ends):
            if end > start:
                right = np.cumsum(drawn[start:end], axis=0, dtype=np.float64)
                found[threshold] = _interpolated(right, wrong[start:end], wanted)
            start = end
        return np.where(wanted[:, None] > 0, found.T, np.nan)

    def _weights(self, draws: Draws) -> NDArray[np.float32]:
        """Return how often images and copies count, of shape (images and copies, draws)."""
        copies = [
            draws[:, self.ranking.image[start]] > np.arange(self.copies)[:, None]
            for start, _ in self.ranking.tied
        ]
        return np.concatenate([draws.T, *copies]).astype(np.float32)


def _laid_out(ranking: _Ranking, copies: int) -> _LaidOut:
    """Lay tied runs out copy by copy."""
    order, place = [], 0
    column, images = [], len(ranking.truths)
    for number, (start, end) in enumerate(ranking.tied):
        order += [np.arange(place, start), np.tile(np.arange(start, end), copies)]
        first = images + number * copies
        column += [
            ranking.image[place:start],
            np.repeat(np.arange(first, first + copies), end - start),
        ]
        place = end
    row = np.concatenate([*order, np.arange(place, len(ranking.image))])
    own = np.concatenate([*column, ranking.image[place:]])
    hits, before = [], []
    ends: list[int] = []
    for hit, counts in zip(ranking.hit[:, row], ranking.counts[:, row], strict=True):
        (right,), (wrong,) = np.nonzero(hit & counts), np.nonzero(~hit & counts)
        misses = np.zeros((len(right) + 1, images + len(ranking.tied) * copies), dtype=np.float32)
        np.add.at(misses, (np.searchsorted(right, wrong), own[wrong]), 1)
        hits.append(own[right])
        before.append(np.cumsum(misses[:-1], axis=0))
        ends.append(len(right) + (ends[-1] if ends else 0))
    return _LaidOut(
        ranking=ranking,
        copies=copies,
        column=np.concatenate(hits),
        before=np.concatenate(before),
        ends=tuple(ends),
    )


def _interpolated(right: Floats, wrong: NDArray[np.float32], wanted: NDArray[np.int64]) -> Floats:
    """Return the average precision on every draw, from what ranks up to each hit.

    Args:
        right: Hits, of shape (hits, draws).
        wrong: Misses, of the same shape.
        wanted: Boxes to be found, by draw.
    """
    precision = right + wrong
    np.maximum(precision, 1, out=precision)
    np.divide(right, precision, out=precision)
    highest = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    # Recall reaches so many of the 101 points at which COCO reads precision; kept in whole numbers
    # but for one division, whose result is exact wherever it is whole.
    right *= _STEPS
    right /= np.maximum(wanted, 1)
    points = np.floor(right)
    whole = np.nonzero(right == points)
    points[whole] -= _LATE[points[whole].astype(np.intp)]
    points += 1
    points[1:] -= points[:-1].copy()
    return np.asarray(np.einsum("kd,kd->d", highest, points)) / len(_RECALLS)
