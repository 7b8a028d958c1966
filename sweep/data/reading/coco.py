"""COCO's annotation file -> `Source`. https://cocodataset.org/#format-data"""

import json
from collections import defaultdict
from collections.abc import Iterator
from operator import sub
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from sweep.data.annotation_fixes import ROUNDING_PX, AnnotationFix, Reason
from sweep.data.reading.segmentation import box_around, is_finite
from sweep.data.reading.source import Source, SourceBox, SourceImage
from sweep.errors import InputError, nearest


def read_coco(
    annotations: Path,
    images: Path,
    url_key: str | None = None,
    *,
    around: bool = False,
    group_key: str | None = None,
) -> Source:
    """Read a COCO file. The images themselves are not opened and may be missing.

    Nothing is looked up by annotation id, so repeated ones do no harm and are only noted.

    Args:
        annotations: The COCO file.
        images: The folder that `file_name` is relative to.
        url_key: Key of an image's entry that holds its URL, or None.
        group_key: Key of an image's entry that says which group it is of, or None.
        around: Whether a box is the one around its annotation's segmentation, where it has one.

    Raises:
        InputError: If the file cannot be read or an entry is wrong; it names the entry.
    """
    document = _Entry(annotations, "", _load(annotations))
    categories = _categories(document)
    records: dict[int, _Entry] = {}
    paths: dict[int, Path] = {}
    named: dict[Path, str] = {}
    for entry in document.entries("images"):
        image_id = entry.integer("id")
        if image_id in records:
            raise entry.error("id", f"found {image_id} a second time; every image needs its own")
        records[image_id] = entry
        path = paths[image_id] = _inside(images, entry)
        if path in named:
            raise entry.error("file_name", f"found the file of {named[path]} again; keep one")
        named[path] = entry.where
    if not records:
        raise document.error("images", "found no entry; a dataset needs images")

    boxes: dict[int, list[SourceBox]] = defaultdict(list)
    annotation_ids: set[int] = set()
    mended: list[AnnotationFix] = []
    for entry in document.entries("annotations"):
        image_id, category_id = entry.integer("image_id"), entry.integer("category_id")
        if image_id not in records:
            raise entry.error("image_id", f"found {image_id}; no image has this id")
        if category_id not in categories:
            raise entry.error("category_id", f"found {category_id}; no category has this id")
        box, image = _box(entry, categories[category_id]), records[image_id]
        if box.annotation in annotation_ids:
            mended.append(box.fix(Reason.REPEATED_ID, image.text("file_name"), box))
        annotation_ids.add(entry.integer("id"))
        if around:
            written, box = box, _box_around(entry, box, image)
            if max(map(abs, map(sub, written.corners, box.corners))) > ROUNDING_PX:
                mended.append(written.fix(Reason.RECOMPUTED, image.text("file_name"), box))
        boxes[image_id].append(box)
    return Source(
        images=tuple(
            SourceImage(
                name=entry.text("file_name"),
                width=entry.size("width"),
                height=entry.size("height"),
                boxes=tuple(boxes[image_id]),
                read=paths[image_id].read_bytes,
                path=paths[image_id],
                url=None if url_key is None else _url(entry, url_key),
                group=None if group_key is None else _group(entry, group_key),
            )
            for image_id, entry in records.items()
        ),
        classes=tuple(dict.fromkeys(categories.values())),
        mended=tuple(mended),
    )


class _Entry:
    """A JSON object, its place in the file, and checked access to its values."""

    def __init__(self, file: Path, where: str, value: Any) -> None:
        self.file = file
        self.where = where
        if not isinstance(value, dict):
            raise self.error("", f"found {_shown(value)}; must be an object {{…}}")
        self.value: dict[str, Any] = value

    def error(self, key: str, text: str) -> InputError:
        where = ".".join(part for part in (self.where, key) if part)
        return InputError(f"{self.file}: {where}: {text}" if where else f"{self.file}: {text}")

    def get(self, key: str) -> Any:
        if key not in self.value:
            raise self.error(key, "missing; is this a COCO detection file?")
        return self.value[key]

    def entries(self, key: str) -> "Iterator[_Entry]":
        found = self.get(key)
        if not isinstance(found, list):
            raise self.error(key, f"found {_shown(found)}; must be a list")
        for index, value in enumerate(found):
            yield _Entry(self.file, f"{key}[{index}]", value)

    def integer(self, key: str) -> int:
        found = self.get(key)
        if not isinstance(found, int) or isinstance(found, bool):
            raise self.error(key, f"found {_shown(found)}; must be a whole number")
        return found

    def size(self, key: str) -> int:
        found = self.integer(key)
        if found < 1:
            raise self.error(key, f"found {found}; must be 1 or more pixels")
        return found

    def text(self, key: str) -> str:
        found = self.get(key)
        if not isinstance(found, str) or not found.strip():
            raise self.error(key, f"found {_shown(found)}; must be a text")
        return found


def _load(file: Path) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not a number that JSON knows")

    try:
        return json.loads(file.read_bytes(), parse_constant=refuse)
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read: {error.strerror}; check `source` in the dataset file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON: {error}; fetch or export the file again") from error


def _categories(document: _Entry) -> dict[int, str]:
    categories: dict[int, str] = {}
    for entry in document.entries("categories"):
        category_id = entry.integer("id")
        if category_id in categories:
            raise entry.error("id", f"found {category_id} a second time; every one needs its own")
        categories[category_id] = entry.text("name")
    return categories


def _box(entry: _Entry, category: str) -> SourceBox:
    found = entry.get("bbox")
    if not isinstance(found, list) or len(found) != 4:
        raise entry.error("bbox", f"found {_shown(found)}; must be [x, y, width, height]")
    for value in found:
        if not is_finite(value):
            raise entry.error("bbox", f"found {_shown(found)}; must be four finite numbers")
    x, y, width, height = map(float, found)
    if width < 0 or height < 0:
        raise entry.error("bbox", f"found {_shown(found)}; width and height must not be negative")
    crowd = entry.value.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise entry.error("iscrowd", f"found {_shown(crowd)}; must be 0 or 1")
    return SourceBox(
        category=category,
        x=x,
        y=y,
        width=width,
        height=height,
        crowd=bool(crowd),
        annotation=entry.integer("id"),
    )


def _box_around(entry: _Entry, box: SourceBox, image: _Entry) -> SourceBox:
    """Return the box around the annotation's segmentation; `box` if it has none."""
    try:
        around = box_around(
            entry.value.get("segmentation"), image.size("width"), image.size("height")
        )
    except ValueError as error:
        shown = _shown(entry.value["segmentation"])
        raise entry.error("segmentation", f"found {shown}; {error}") from error
    return box if around is None else box.at(around)


def _inside(folder: Path, entry: _Entry) -> Path:
    """Return the path of an image; refuse one that leads out of `folder`, links followed."""
    name = entry.text("file_name")
    parts = PurePosixPath(name).parts
    try:
        leaves = (
            PurePosixPath(name).is_absolute()
            or PureWindowsPath(name).is_absolute()
            or ".." in parts
            or not (folder / name).resolve().is_relative_to(folder.resolve())
        )
    except (OSError, ValueError) as error:
        raise entry.error("file_name", f"found {_shown(name)}; not a file name") from error
    if leaves or not parts:
        raise entry.error(
            "file_name", f"found {_shown(name)}; must lie in the image folder {folder}"
        )
    return folder / name


def _group(entry: _Entry, key: str) -> str:
    """Return the group, a text or a number in the file."""
    found = entry.value.get(key)
    if found is None:
        given = [key for key, value in entry.value.items() if value is not None]
        raise entry.error(key, f"missing, and `split.groups` needs it; {nearest(key, given)}")
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        raise entry.error(key, f"found {_shown(found)}; must be a text or a number")
    return str(found)


def _url(entry: _Entry, key: str) -> str:
    url = entry.text(key)
    if not url.startswith(("https://", "http://")):
        raise entry.error(key, f"found {_shown(url)}; must be an http or https address")
    return url


def _shown(value: object) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}…"
