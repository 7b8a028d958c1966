"""The label files of a YOLO tree: a row an object."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from sweep.data.reading.file_names import AmbiguousNameError, FileNames, FoundFile
from sweep.data.reading.source import SourceBox
from sweep.errors import InputError

ROUNDING = 0.01
"""How far a normalised number may leave 0 to 1 before it counts as not normalised."""
_FEWEST_WORDS = 5


def label_file(image: Path) -> Path:
    """Return the label file: `labels` for the last folder `images`, `.txt` for the suffix."""
    return Path("/labels/".join(str(image).rsplit("/images/", 1))).with_suffix(".txt")


def find_label_files(images: Iterable[Path]) -> tuple[dict[Path, Path], tuple[FoundFile, ...]]:
    """Return each image's label file, there or not, and those that are named otherwise.

    Raises:
        InputError: If several files may be an image's labels.
    """
    labels = {image: label_file(image) for image in images}
    taken: dict[Path, set[str]] = defaultdict(set)
    for image, label in labels.items():
        tree = _tree(image)
        taken[tree].add(label.relative_to(tree).as_posix())
    names = {tree: FileNames.on_disk(tree, own) for tree, own in taken.items()}
    found_otherwise: list[FoundFile] = []
    for image, label in labels.items():
        if label.exists():
            continue
        tree = _tree(image)
        written = label.relative_to(tree).as_posix()
        try:
            found = names[tree].find(written)
        except AmbiguousNameError as error:
            raise InputError(f"{image}: labels: {error}") from error
        if found is not None:
            labels[image] = tree / found
            found_otherwise.append(FoundFile(written=written, file=found))
    return labels, tuple(found_otherwise)


def _tree(image: Path) -> Path:
    """Return the folder that holds both an image and its label file."""
    before, images, _ = str(image).rpartition("/images/")
    return Path(before or "/") if images else image.parent


def read_boxes(
    file: Path, names: Mapping[int, str], width: int, height: int
) -> Iterator[SourceBox]:
    """Yield the boxes of an image of `width` x `height` px; none if it has no label file.

    Raises:
        InputError: If the file cannot be read or a row is wrong; it names the line.
    """
    for number, line in _rows(file):
        label, left, top, right, bottom = _row(f"{file}: line {number}", line.split())
        if label not in names:
            raise InputError(
                f"{file}: line {number}: found class {label}; data.yaml names "
                f"{min(names)} to {max(names)}"
            )
        yield SourceBox(
            category=names[label],
            x=left * width,
            y=top * height,
            width=(right - left) * width,
            height=(bottom - top) * height,
            annotation=number,
        )


def count_boxes(file: Path) -> int | None:
    """Return how many rows a label file has; None if it is another text file."""
    try:
        rows = [line.split() for _, line in _rows(file)]
        for words in rows:
            list(map(float, words))
    except (InputError, ValueError):
        return None
    return len(rows) if all(len(words) >= _FEWEST_WORDS for words in rows) else None


def _rows(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, and their numbers."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return  # an image without objects
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read: {error}") from error
    yield from ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def _row(where: str, words: list[str]) -> tuple[int, float, float, float, float]:
    """Return class, left, top, right and bottom, the last four as parts of the image."""
    try:
        label, *numbers = map(float, words)
    except ValueError as error:
        raise InputError(f"{where}: found {' '.join(words)[:60]!r}; must be numbers") from error
    if not label.is_integer():  # also inf and nan
        raise InputError(f"{where}: found class {words[0]}; must be a whole number")
    if not all(math.isfinite(n) and -ROUNDING <= n <= 1 + ROUNDING for n in numbers):
        raise InputError(f"{where}: found {' '.join(words)[:60]!r}; must be parts of 1")
    if len(numbers) == 4:
        x, y, width, height = numbers
        if width < 0 or height < 0:
            raise InputError(f"{where}: width and height must not be negative")
        return int(label), x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if len(numbers) >= 6 and len(numbers) % 2 == 0:
        across, down = numbers[::2], numbers[1::2]
        return int(label), min(across), min(down), max(across), max(down)
    raise InputError(
        f"{where}: found {len(words)} numbers; must be class, x, y, width, height or a polygon, "
        "without confidences and keypoints"
    )
