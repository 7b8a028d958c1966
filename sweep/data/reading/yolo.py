"""A YOLO tree, `data.yaml` with images and label files, -> `Source`.

https://docs.ultralytics.com/datasets/detect/#ultralytics-yolo-format
"""

import math
import os
from collections.abc import Iterator
from glob import escape, glob
from pathlib import Path
from typing import Any

from sweep.data.data_yaml import read_data_yaml, root_of
from sweep.data.prepared import SPLITS, Split
from sweep.data.reading.other_tasks import refuse_other_tasks
from sweep.data.reading.picture import PictureError, upright_size
from sweep.data.reading.source import Source, SourceBox, SourceImage
from sweep.errors import InputError

IMAGE_SUFFIXES = {
    *(".bmp", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp"),
    *(".avif", ".dng", ".heic", ".heif", ".jp2"),
}
"""What Ultralytics takes for an image. The latter cannot be read here, and are not passed over."""
ROUNDING = 0.01
"""How far a normalised number may leave 0 to 1 before it counts as not normalised."""


def read_yolo(data_yaml: Path, *, leave_out_damaged: bool = False) -> Source:
    """Read a YOLO tree; polygons become the boxes around them. Opens the images for their sizes.

    Every image carries its split if the tree has at least train and val.

    Args:
        data_yaml: Names the classes and the places of the images.
        leave_out_damaged: Whether files that are no images are left out rather than refused.

    Raises:
        InputError: If a file cannot be read or a label is wrong; it names file and line.
    """
    tree = read_data_yaml(data_yaml)
    root = root_of(data_yaml, tree)
    names = _names(data_yaml, tree)
    found = [split for split in SPLITS if tree.get(split)]
    notes: list[str] = []
    if "test" in found and not _has_images(root, tree["test"]):
        found.remove("test")  # exports name it, whether or not there is one
        notes.append(f"{data_yaml.name}: test: no image in {tree['test']}; there is no test split")
    if not found:
        raise InputError(f"{data_yaml}: train: missing; add the folder of the training images")
    keeps_splits = "train" in found and "val" in found
    files: dict[Path, Split] = {}
    for split in found:
        for file in _files(data_yaml, root, split, tree[split]):
            if keeps_splits and files.get(file, split) != split:
                raise InputError(
                    f"{data_yaml}: {split}: {file} is in {files[file]} as well; mend the tree, or "
                    "leave one of them out and give `split` in the dataset file"
                )
            files.setdefault(file, split)
    images: list[SourceImage] = []
    damaged: dict[str, str] = {}
    for file, split in files.items():
        name = Path(os.path.relpath(file, root)).as_posix()
        width = height = 1
        try:
            width, height = upright_size(file)
        except PictureError as error:
            if not leave_out_damaged:
                raise InputError(f"{file}: {error}, or set `damaged: leave out`") from error
            damaged[name] = str(error)
        except OSError as error:
            raise InputError(f"{file}: cannot be read: {error.strerror}") from error
        images.append(
            SourceImage(
                name=name,
                width=width,
                height=height,
                boxes=tuple(_boxes(_label_file(file), names, width, height)),
                read=file.read_bytes,
                path=file,
                split=split if keeps_splits else None,
            )
        )
    refuse_other_tasks(data_yaml, [_label_file(file) for file in files])
    classes = tuple(dict.fromkeys(names.values()))
    source = Source(images=tuple(images), classes=classes, notes=tuple(notes))
    return source.without(damaged)


def _names(data_yaml: Path, tree: dict[str, Any]) -> dict[int, str]:
    names = tree.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise InputError(f"{data_yaml}: names: found {names!r}; must list the class names")
    for index, name in names.items():
        number = isinstance(index, int) or (isinstance(index, str) and index.isdecimal())
        if not number or not isinstance(name, str | int) or name == "":
            raise InputError(f"{data_yaml}: names: found {index!r}: {name!r}; must be `0: name`")
    return {int(index): str(name) for index, name in names.items()}


def _files(data_yaml: Path, root: Path, split: Split, places: Any) -> Iterator[Path]:
    """Yield a split's images: those in its folders and those its text files list."""
    for place in places if isinstance(places, list) else [places]:
        if not isinstance(place, str):
            raise InputError(f"{data_yaml}: {split}: found {place!r}; must be a folder or a list")
        path = _place(root, place)
        if path.is_dir():
            files = _images_below(path)
        elif path.is_file() and path.suffix == ".txt":
            lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
            files = [path.parent / line.strip() for line in lines if line.strip()]
        else:
            raise InputError(f"{data_yaml}: {split}: no such folder or .txt file: {path}")
        if not files:
            raise InputError(f"{data_yaml}: {split}: no image in {path}")
        yield from files


def _place(root: Path, place: str) -> Path:
    path = root / place
    if not path.exists() and place.startswith("../"):
        path = root / place.removeprefix("../")  # as Ultralytics does for Roboflow's exports
    return path


def _images_below(folder: Path) -> list[Path]:
    """Return the images as Ultralytics finds them: behind links, too, but none with a dot first."""
    below = map(Path, glob(f"{escape(str(folder))}/**/*.*", recursive=True))  # noqa: PTH207
    return sorted(file for file in below if file.suffix.lower() in IMAGE_SUFFIXES)


def _has_images(root: Path, place: Any) -> bool:
    """Whether a place of images may hold some: all but a folder that is not there or empty."""
    if not isinstance(place, str) or place.endswith(".txt"):
        return True
    return bool(_images_below(_place(root, place)))


def _label_file(image: Path) -> Path:
    """Return the label file: `labels` for the last folder `images`, `.txt` for the suffix."""
    return Path("/labels/".join(str(image).rsplit("/images/", 1))).with_suffix(".txt")


def _boxes(file: Path, names: dict[int, str], width: int, height: int) -> Iterator[SourceBox]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return  # an image without objects
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
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
