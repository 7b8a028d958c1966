"""Images that repeat others: one photo saved twice, resized, recompressed; a still in a burst.

The perceptual hash is the usual one over the discrete cosine transform: C. Zauner, "Implementation
and Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sweep.data.reading.picture import Pixels

MAX_BITS = 6
"""Of the 63 bits of two hashes, how many may differ."""
MAX_GREY = 6.0
"""Mean difference of two thumbnails, of 255: hashes of dull images may agree by chance."""
MAX_LOCAL_GREY = 26
"""Difference of two thumbnails at any place, of 255.

Photos recompressed at quality 30, shrunk to a third, blurred or cropped by 3 pixels differ by 16 at
most, those of one slide with another focus by 24. Most objects of 4 % of the width that come or go
differ by more."""

_HASHED_PX = 32
_THUMBNAIL_PX = 48
_FREQUENCIES = 8


@dataclass(frozen=True, slots=True)
class Look:
    """What an image looks like from afar."""

    bits: int
    """Perceptual hash."""
    thumbnail: bytes
    """Grey levels of a small square that the image is stretched to."""

    @property
    def pixels(self) -> Pixels:
        """The thumbnail as an array."""
        return np.frombuffer(self.thumbnail, np.uint8).reshape(_THUMBNAIL_PX, _THUMBNAIL_PX)


def look_of(pixels: Pixels) -> Look:
    """Return the look of an image of any size."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (_HASHED_PX, _HASHED_PX), interpolation=cv2.INTER_AREA)
    # Rounded: the transform of an even surface is noise around nought.
    waves = np.rint(cv2.dct(small.astype(np.float32))[:_FREQUENCIES, :_FREQUENCIES]).ravel()[1:]
    bits = np.packbits(waves > np.median(waves)).tobytes()
    thumbnail = cv2.resize(grey, (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return Look(int.from_bytes(bits, "big"), thumbnail.tobytes())


def similar_groups(looks: Sequence[Look]) -> list[int]:
    """Return, for every image, the index of the first image of its group.

    An image is in the group of the first one that it repeats and that repeats none before it.
    Likeness is not handed on: frames of one place, each like the next, are no repeats.
    """
    places: dict[Look, int] = {}
    firsts = [places.setdefault(look, index) for index, look in enumerate(looks)]
    distinct = list(places.values())
    hashes = np.array([looks[index].bits for index in distinct], np.uint64)
    thumbnails = np.array([looks[index].pixels for index in distinct])
    group: dict[int, int] = {}
    free = np.ones(len(distinct), bool)
    for place, index in enumerate(distinct):
        if free[place]:
            differing = np.bitwise_count(hashes[place:] ^ hashes[place])
            alike = place + np.flatnonzero(free[place:] & (differing <= MAX_BITS))
            repeats = alike[_repeats(thumbnails[place], thumbnails[alike])]
            free[repeats] = False
            group |= {distinct[repeat]: index for repeat in repeats}
    return [group[first] for first in firsts]


def _repeats(one: Pixels, others: Pixels) -> NDArray[np.bool_]:
    """Whether each of `others` shows nothing that `one` does not, and the other way round."""
    low, high = _surroundings(one)
    inside = (others >= low) & (others <= high)
    found = np.array([square.all() for square in inside], bool)
    for index in np.flatnonzero(found):
        low, high = _surroundings(others[index])
        grey = cv2.absdiff(one, others[index]).mean()
        found[index] = grey <= MAX_GREY and bool(((one >= low) & (one <= high)).all())
    return found


def _surroundings(thumbnail: Pixels) -> tuple[Pixels, Pixels]:
    """Return the darkest and the brightest that each square may be in a repeat of a thumbnail.

    Its neighbours count as well, so that an image may be moved by a little.
    """
    margin = np.full_like(thumbnail, MAX_LOCAL_GREY)
    square = np.ones((3, 3), np.uint8)
    low = cv2.subtract(cv2.erode(thumbnail, square), margin)
    high = cv2.add(cv2.dilate(thumbnail, square), margin)
    return low, high
