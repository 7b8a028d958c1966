"""Some prepared images with their boxes, chosen so that every class is seen."""

import base64
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2

from sweep.data.packing.drawing import DrawnImage
from sweep.data.packing.folder import Plan
from sweep.data.prepared import PreparedDataset, Split
from sweep.data.reading.picture import read_pixels
from sweep.pages import theme

PICTURES = 24
WIDTH_PX = 320
"""Of a drawn image."""
_LINE_PX = 2
_QUALITY = 82


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One image of the sheet."""

    image: DrawnImage
    split: Split


def choose(plan: Plan) -> list[Picture]:
    """Return up to `PICTURES` images, by number: one of each class in turn until all are taken."""
    carriers: list[list[int]] = [[] for _ in plan.clean.classes]
    for index, image in enumerate(plan.images):
        for label in {box.label for box in image.boxes}:
            carriers[label].append(index)
    chosen: dict[int, None] = {}
    while len(chosen) < PICTURES and any(carriers):
        for waiting in carriers:
            while waiting and waiting[0] in chosen:
                waiting.pop(0)
            if waiting and len(chosen) < PICTURES:
                chosen[waiting.pop(0)] = None
    return [Picture(image=plan.images[index], split=plan.splits[index]) for index in sorted(chosen)]


def contact_sheet(plan: Plan, dataset: PreparedDataset) -> list[tuple[Picture, str, str]]:
    """Return the chosen images, whose files have been written, with two texts each.

    These are its boxes in words, and the image with the boxes drawn as a data URI.
    """
    sheet = []
    for picture in choose(plan):
        counts = Counter(plan.clean.classes[box.label] for box in picture.image.boxes)
        boxes = ", ".join(f"{count} {name}" for name, count in counts.most_common())
        sheet.append((picture, boxes, _data_uri(picture.image, dataset.images(picture.split))))
    return sheet


def _data_uri(image: DrawnImage, folder: Path) -> str:
    pixels = read_pixels(folder / image.file_name)
    scale = WIDTH_PX / image.width
    size = (WIDTH_PX, max(1, round(image.height * scale)))
    drawn = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    for box in image.boxes:
        x, y, width, height = (value * scale for value in box.corners)
        colour = theme.colour(box.label).lstrip("#")
        blue_green_red = tuple(int(colour[place : place + 2], 16) for place in (4, 2, 0))
        corners = (round(x), round(y)), (round(x + width), round(y + height))
        cv2.rectangle(drawn, *corners, blue_green_red, _LINE_PX)
    _, data = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
