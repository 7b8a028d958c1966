"""Labels of other tasks than detection, which a YOLO tree may hold: told by what they look like.

Keypoints are told by their key in `data.yaml`. Polygons of segmentations are read: the boxes around
them are what Ultralytics trains a detector on.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sweep.errors import InputError

_ORIENTED_COLUMNS = 9
"""Class and four corners."""
_ROUNDING = 0.002
"""How far apart, in parts of the image, two coordinates of one side of an upright box may be."""


def refuse_other_tasks(data_yaml: Path, label_files: Sequence[Path]) -> None:
    """Refuse a tree without any label file, as for classification, and oriented boxes.

    Raises:
        InputError: If the labels are of another task.
    """
    there = (file for file in label_files if file.is_file())
    first = next(there, None)
    if first is None:
        raise InputError(
            f"{data_yaml}: none of its {len(label_files)} images has a label file, such as "
            f"{label_files[0]}; put them there, one line a box: class, x, y, width, height"
        )
    if row := _turned_box((first, *there)):
        raise InputError(
            f"{data_yaml}: its labels are oriented boxes, class and four corners, such as {row}; "
            "must be class, x, y, width, height, as a sweep trains detectors of upright boxes"
        )


def _turned_box(files: Iterable[Path]) -> str | None:
    """Return where a turned box is if all rows are class and four corners; None if they are not."""
    turned = None
    for file, number, words in _rows(files):
        if len(words) != _ORIENTED_COLUMNS:
            return None
        try:
            corners = [float(word) for word in words[1:]]
        except ValueError:
            return None  # refused where it is read
        if not (_upright(corners[::2]) and _upright(corners[1::2])):
            turned = turned or f"{file}: line {number}"
    return turned


def _rows(files: Iterable[Path]) -> Iterator[tuple[Path, int, list[str]]]:
    for file in files:
        lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        for number, line in enumerate(lines, 1):
            if words := line.split():
                yield file, number, words


def _upright(coordinates: Sequence[float]) -> bool:
    """Whether four corners have but two coordinates in one direction."""
    low, high = min(coordinates), max(coordinates)
    return all(min(value - low, high - value) <= _ROUNDING for value in coordinates)
