"""A YOLO tree, `data.yaml` with images and label files, -> `Source`.

https://docs.ultralytics.com/datasets/detect/#ultralytics-yolo-format
"""

import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sweep.data.data_yaml import read_data_yaml, root_of
from sweep.data.prepared import SPLITS, Split
from sweep.data.reading.other_tasks import refuse_other_tasks
from sweep.data.reading.picture import PictureError, upright_size
from sweep.data.reading.source import LabelFile, LeftOut, Source, SourceImage
from sweep.data.reading.yolo_images import SplitFiles, has_images, split_files
from sweep.data.reading.yolo_labels import count_boxes, find_label_files, label_file, read_boxes
from sweep.errors import InputError


def read_yolo(data_yaml: Path, *, leave_out_damaged: bool = False) -> Source:
    """Read a YOLO tree; polygons become the boxes around them. Opens the images for their sizes.

    Every image carries its split if the tree has at least train and val. Images that Ultralytics
    passes over are left out; label files without an image are noted.

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
    if "test" in found and not has_images(data_yaml, root, tree["test"]):
        found.remove("test")  # exports name it, whether or not there is one
        notes.append(f"{data_yaml.name}: test: no image in {tree['test']}; there is no test split")
    if not found:
        raise InputError(f"{data_yaml}: train: missing; add the folder of the training images")
    keeps_splits = "train" in found and "val" in found
    places: list[SplitFiles] = []
    files: dict[Path, Split] = {}
    for split in found:
        for place in split_files(data_yaml, root, split, tree[split]):
            places.append(place)
            for file in place.images:
                if keeps_splits and files.get(file, split) != split:
                    raise InputError(
                        f"{data_yaml}: {split}: {file} is in {files[file]} as well; mend the tree, "
                        "or leave one of them out and give `split` in the dataset file"
                    )
                files.setdefault(file, split)
    labels, labels_otherwise = find_label_files(files)
    images: list[SourceImage] = []
    damaged: dict[str, str] = {}
    for file, split in files.items():
        width = height = 1
        try:
            width, height = upright_size(file)
        except PictureError as error:
            if not leave_out_damaged:
                raise InputError(f"{file}: {error}, or set `damaged: leave out`") from error
            damaged[_name(file, root)] = str(error)
        except OSError as error:
            raise InputError(f"{file}: cannot be read: {error.strerror}") from error
        images.append(
            SourceImage(
                name=_name(file, root),
                width=width,
                height=height,
                boxes=tuple(read_boxes(labels[file], names, width, height)),
                read=file.read_bytes,
                path=file,
                split=split if keeps_splits else None,
            )
        )
    refuse_other_tasks(data_yaml, list(labels.values()))
    passed_over, without_image = _unused(places, labels.values(), names, root)
    source = Source(
        images=tuple(images),
        classes=tuple(dict.fromkeys(names.values())),
        notes=tuple(notes),
        left_out=passed_over,
        found_otherwise=(
            *(found for place in places for found in place.found_otherwise),
            *labels_otherwise,
        ),
        labels_without_image=without_image,
    )
    return source.without(damaged)


def _name(file: Path, root: Path) -> str:
    return Path(os.path.relpath(file, root)).as_posix()


def _names(data_yaml: Path, tree: dict[str, Any]) -> dict[int, str]:
    names, count = tree.get("names"), _class_count(data_yaml, tree.get("nc"))
    if names is None and count is not None:
        names = [f"class_{index}" for index in range(count)]  # as Ultralytics calls them
    if isinstance(names, list):
        names = dict(enumerate(names))
    if names is None:
        raise InputError(f"{data_yaml}: names: missing, as is nc; must list the class names")
    if not isinstance(names, dict) or not names:
        raise InputError(f"{data_yaml}: names: found {names!r}; must list the class names")
    for index, name in names.items():
        number = isinstance(index, int) or (isinstance(index, str) and index.isdecimal())
        if not number or not isinstance(name, str | int) or name == "":
            raise InputError(f"{data_yaml}: names: found {index!r}: {name!r}; must be `0: name`")
    if count not in (None, len(names)):
        raise InputError(f"{data_yaml}: nc: found {count}, but {len(names)} names; correct one")
    return {int(index): str(name) for index, name in names.items()}


def _class_count(data_yaml: Path, found: Any) -> int | None:
    """Return `nc`, None if it is not given. Ultralytics takes 2.0 and '2' for 2, too."""
    if found is None:
        return None
    try:
        count = float(found)
    except (TypeError, ValueError):
        count = 0.5
    if not count.is_integer() or count < 1:
        raise InputError(f"{data_yaml}: nc: found {found!r}; must be the number of classes")
    return int(count)


def _unused(
    places: Iterable[SplitFiles], used: Iterable[Path], names: Mapping[int, str], root: Path
) -> tuple[tuple[LeftOut, ...], tuple[LabelFile, ...]]:
    """Return the images that Ultralytics passes over, and the label files that have no image."""

    @cache
    def real(folder: Path) -> str:
        return os.path.realpath(folder)

    def key(file: Path) -> tuple[str, str]:
        return real(file.parent), file.name

    known = {key(label) for label in used}
    free = {key(label): label for place in places for label in place.labels}
    free = {place: label for place, label in free.items() if place not in known}
    left_out: dict[Path, LeftOut] = {}
    for file in (other for place in places for other in place.others):
        label = free.pop(key(label_file(file)), None)
        left_out[file] = LeftOut(
            image=SourceImage(
                name=_name(file, root),
                width=1,
                height=1,
                boxes=tuple(read_boxes(label, names, 1, 1)) if label else (),
                read=file.read_bytes,
                path=file,
            ),
            why=f"Ultralytics passes over {file.suffix} files; save it as PNG or JPEG",
        )
    counted = {label: count_boxes(label) for label in free.values()}
    return tuple(left_out.values()), tuple(
        LabelFile(name=_name(label, root), boxes=boxes)
        for label, boxes in sorted(counted.items())
        if boxes is not None
    )
