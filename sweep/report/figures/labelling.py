"""Boxes and their labels on a picture: which are drawn, and where the words find room."""

import base64
import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from sweep.pages import theme
from sweep.report.figures.matching import Box, Match

WIDTH_PX = 420
"""Of a picture as embedded; the page scales it."""
MOST_BOXES = 25
"""On one picture."""
_QUALITY = 82
_LINE_PX = 16.0
"""Height of a label."""
_LONGEST_LABEL = 18
_NARROW_PX, _WIDE_PX = 6.8, 12.5
"""Room of one character of 12 px, and of one of East Asian width."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """Words beside a box."""

    text: str
    x: float
    """Left, px of the picture as embedded."""
    y: float
    """Top, px."""
    width: float
    ink: str
    """Colour of the words on the box's colour."""


Kind = Literal["truth", "right", "wrong", "missed"]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One box on the picture as embedded."""

    kind: Kind
    place: Box
    """In pixels of the picture."""
    colour: str
    words: str
    """The whole name of its class, the confidence, and whether it is an error."""
    label: Label | None
    """None where there was no room."""


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """The boxes of one picture."""

    boxes: tuple[Drawn, ...]
    """The most important last, so on top."""
    left_out: int
    """Boxes beyond `MOST_BOXES`."""


@dataclass(frozen=True, kw_only=True)
class Photo:
    """An image as embedded."""

    uri: str
    width: int
    height: int
    scale: float
    """Its pixels by those of the file."""


def photo(path: Path) -> Photo:
    """Return an image `WIDTH_PX` wide as a data URI."""
    with Image.open(path) as opened:
        scale = WIDTH_PX / opened.width
        picture = opened.convert("RGB").resize((WIDTH_PX, max(1, round(opened.height * scale))))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY)
    uri = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Photo(uri=uri, width=picture.width, height=picture.height, scale=scale)


def of_truth(image: Photo, boxes: Sequence[Box], classes: Sequence[str]) -> Labelled:
    """Label the truth, the largest boxes first."""
    return _labelled(
        image,
        [("truth", box) for box in sorted(boxes, key=lambda box: -box.width * box.height)],
        classes,
    )


def of_model(image: Photo, found: Match, classes: Sequence[str]) -> Labelled:
    """Label a model's boxes: errors first, the wrong before the missed."""
    kinds: dict[Kind, Sequence[Box]] = {
        "wrong": found.wrong,
        "missed": found.missed,
        "right": found.right,
    }
    return _labelled(image, [(kind, box) for kind in kinds for box in kinds[kind]], classes)


def _labelled(image: Photo, boxes: Sequence[tuple[Kind, Box]], classes: Sequence[str]) -> Labelled:
    taken: list[Label] = []
    drawn = []
    for kind, box in boxes[:MOST_BOXES]:
        colour = theme.colour(box.cls)
        place = _scaled(box, image.scale)
        name = classes[box.cls]
        sure = f" {box.score:.2f}" if kind in ("right", "wrong") else ""
        error = kind in ("wrong", "missed")
        mark = f"{kind} " if error else ""
        label = _placed(
            f"{mark}{theme.short(name, _LONGEST_LABEL)}{sure}",
            place,
            image,
            theme.text_on(colour),
            taken,
        )
        if label is not None:
            taken.append(label)
        drawn.append(
            Drawn(
                kind=kind,
                place=place,
                colour=colour,
                words=f"{mark}{name}{sure}",
                label=label,
            )
        )
    return Labelled(boxes=tuple(reversed(drawn)), left_out=len(boxes) - len(drawn))


def _scaled(box: Box, scale: float) -> Box:
    return Box(
        cls=box.cls,
        x=round(box.x * scale, 1),
        y=round(box.y * scale, 1),
        width=round(box.width * scale, 1),
        height=round(box.height * scale, 1),
        score=box.score,
    )


def _placed(text: str, box: Box, image: Photo, ink: str, taken: Sequence[Label]) -> Label | None:
    """Return the label at the first place around its box that is free and inside the picture."""
    width = round(8 + sum(map(_room, text)), 1)
    right, bottom = box.x + box.width, box.y + box.height
    places = [
        *((box.x, box.y - _LINE_PX), (right - width, box.y - _LINE_PX)),  # above
        *((box.x, bottom), (right - width, bottom)),  # below
        *((box.x, box.y), (right - width, bottom - _LINE_PX)),  # inside
        *((right, box.y), (box.x - width, box.y)),  # beside
    ]
    for left, y in places:
        x = round(min(max(left, 0.0), max(image.width - width, 0.0)), 1)
        if 0 <= y <= image.height - _LINE_PX and not any(
            x < other.x + other.width and other.x < x + width and abs(y - other.y) < _LINE_PX
            for other in taken
        ):
            return Label(text=text, x=x, y=round(y, 1), width=width, ink=ink)
    return None


def _room(character: str) -> float:
    if unicodedata.combining(character):
        return 0.0
    return _WIDE_PX if unicodedata.east_asian_width(character) in "WF" else _NARROW_PX
