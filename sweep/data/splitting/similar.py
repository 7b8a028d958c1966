"""Images that look the same: one photo saved twice, resized, recompressed, or shot in a burst.

The perceptual hash is the usual one over the discrete cosine transform: C. Zauner, "Implementation
and Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2.1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sweep.data.reading.picture import Pixels

MAX_BITS = 6
"""Of the 63 bits of two hashes, how many may differ."""
MAX_GREY = 6.0
"""Mean difference of two thumbnails, of 255: hashes of dull images may agree by chance."""

_HASHED_PX = 32
_THUMBNAIL_PX = 16
_FREQUENCIES = 8
_BLOCK = 1024
"""Hashes that are compared with all others at once, so that memory stays small."""


@dataclass(frozen=True, slots=True)
class Look:
    """What an image looks like from afar."""

    bits: int
    """Perceptual hash."""
    thumbnail: bytes
    """Grey levels of a small square that the image is stretched to."""


def look_of(pixels: Pixels) -> Look:
    """Return the look of an image of any size."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (_HASHED_PX, _HASHED_PX), interpolation=cv2.INTER_AREA)
    # Rounded: the transform of an even surface is noise around nought.
    waves = np.rint(cv2.dct(small.astype(np.float32))[:_FREQUENCIES, :_FREQUENCIES]).ravel()[1:]
    bits = np.packbits(waves > np.median(waves)).tobytes()
    thumbnail = cv2.resize(small, (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return Look(int.from_bytes(bits, "big"), thumbnail.tobytes())


def similar_groups(looks: Sequence[Look]) -> list[int]:
    """Return, for every image, the index of the first image of its group.

    Images that look alike are in one group, and so are those that a third one is like.
    """
    places: dict[Look, int] = {}
    firsts = [places.setdefault(look, index) for index, look in enumerate(looks)]
    distinct = list(places.values())
    parents = list(range(len(distinct)))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    for one, other in _pairs([looks[index] for index in distinct]):
        low, high = sorted((root(one), root(other)))
        parents[high] = low
    group = {index: distinct[root(place)] for place, index in enumerate(distinct)}
    return [group[first] for first in firsts]


def _pairs(looks: Sequence[Look]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of places whose looks are alike, the smaller place first."""
    hashes = np.array([look.bits for look in looks], np.uint64)
    for start in range(0, len(looks), _BLOCK):
        differing = np.bitwise_count(hashes[start : start + _BLOCK, None] ^ hashes[None, start:])
        for row, column in np.argwhere(differing <= MAX_BITS):
            one, other = start + int(row), start + int(column)
            if one < other and _grey(looks[one], looks[other]) <= MAX_GREY:
                yield one, other


def _grey(one: Look, other: Look) -> float:
    levels: list[NDArray[np.int16]] = [
        np.frombuffer(look.thumbnail, np.uint8).astype(np.int16) for look in (one, other)
    ]
    return float(np.abs(levels[0] - levels[1]).mean())
