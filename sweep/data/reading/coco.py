"""COCO's annotation file -> `Source`. https://cocodataset.org/#format-data"""

from collections import defaultdict
from dataclasses import replace
from operator import sub
from pathlib import Path

from sweep.data.annotation_fixes import ROUNDING_PX, AnnotationFix, Reason
from sweep.data.reading.coco_images import locate, read_image, unmeasured
from sweep.data.reading.json_entry import Entry, load_json, shown
from sweep.data.reading.picture import PictureError
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
    leave_out_damaged: bool = False,
) -> Source:
    """Read a COCO file. Images may be missing; they are opened only where it states no size.

    Nothing is looked up by annotation id: ids may be absent, and repeated ones are only noted.

    Args:
        annotations: The COCO file.
        images: The folder that `file_name` is relative to.
        url_key: Key of an image's entry that holds its URL, or None.
        group_key: Key of an image's entry that says which group it is of, or None.
        around: Whether a box is the one around its annotation's segmentation, where it has one.
        leave_out_damaged: Whether files that are no images are left out rather than refused.

    Raises:
        InputError: If the file cannot be read or an entry is wrong; it names the entry.
    """
    document = Entry(annotations, "", load_json(annotations))
    categories = _categories(document)
    records: dict[int, Entry] = {}
    for entry in document.entries("images"):
        image_id = entry.integer("id")
        if image_id in records:
            raise entry.error("id", f"found {image_id} a second time; every image needs its own")
        records[image_id] = entry
    if not records:
        raise document.error("images", "found no entry; a dataset needs images")
    paths, found_otherwise = locate(images, records, downloads=url_key is not None)
    damaged: dict[str, str] = {}
    bare: dict[int, SourceImage] = {}
    for image_id, entry in records.items():
        try:
            bare[image_id] = read_image(entry, paths[image_id], url_key)
        except PictureError as error:
            if not leave_out_damaged:
                raise InputError(
                    f"{paths[image_id]}: {error}, or set `damaged: leave out`"
                ) from error
            bare[image_id] = unmeasured(entry, paths[image_id])
            damaged[entry.text("file_name")] = str(error)

    boxes: dict[int, list[SourceBox]] = defaultdict(list)
    annotation_ids: set[int | str] = set()
    mended: list[AnnotationFix] = []
    for entry in document.entries("annotations"):
        image_id, category_id = entry.integer("image_id"), entry.integer("category_id")
        if image_id not in records:
            raise entry.error("image_id", f"found {image_id}; no image has this id")
        if category_id not in categories:
            raise entry.error("category_id", f"found {category_id}; no category has this id")
        image = bare[image_id]
        written = _written_box(entry, categories[category_id], around=around)
        box = _box_around(entry, written, image) if around else written
        if box.annotation is not None:
            if box.annotation in annotation_ids:
                mended.append(written.fix(Reason.REPEATED_ID, image.name, written))
            annotation_ids.add(box.annotation)
        moved = max(map(abs, map(sub, written.corners, box.corners))) > ROUNDING_PX
        if moved and entry.has("bbox"):
            mended.append(written.fix(Reason.RECOMPUTED, image.name, box))
        boxes[image_id].append(box)
    source = Source(
        images=tuple(
            replace(
                image,
                boxes=tuple(boxes[image_id]),
                group=None if group_key is None else _group(records[image_id], group_key),
            )
            for image_id, image in bare.items()
        ),
        classes=tuple(dict.fromkeys(categories.values())),
        mended=tuple(mended),
        found_otherwise=found_otherwise,
    )
    return source.without(damaged)


def _categories(document: Entry) -> dict[int, str]:
    categories: dict[int, str] = {}
    for entry in document.entries("categories"):
        category_id = entry.integer("id")
        if category_id in categories:
            raise entry.error("id", f"found {category_id} a second time; every one needs its own")
        categories[category_id] = entry.text("name")
    return categories


def _written_box(entry: Entry, category: str, *, around: bool) -> SourceBox:
    """Return the box as written; an empty one if it is not given but can be computed."""
    crowd = entry.value.get("iscrowd")
    if crowd not in (None, 0, 1):
        raise entry.error("iscrowd", f"found {shown(crowd)}; must be 0 or 1")
    x, y, width, height = _bbox(entry, around=around)
    return SourceBox(
        category=category,
        x=x,
        y=y,
        width=width,
        height=height,
        crowd=bool(crowd),
        annotation=_annotation_id(entry),
    )


def _bbox(entry: Entry, *, around: bool) -> tuple[float, ...]:
    if not entry.has("bbox") and entry.has("segmentation"):
        if around:
            return 0.0, 0.0, 0.0, 0.0
        raise entry.error("bbox", "missing; `boxes: segmentation` takes it from the segmentation")
    found = entry.get("bbox")
    if not isinstance(found, list) or len(found) != 4:
        raise entry.error("bbox", f"found {shown(found)}; must be [x, y, width, height]")
    for value in found:
        if not is_finite(value):
            raise entry.error("bbox", f"found {shown(found)}; must be four finite numbers")
    x, y, width, height = map(float, found)
    if width < 0 or height < 0:
        raise entry.error("bbox", f"found {shown(found)}; width and height must not be negative")
    return x, y, width, height


def _annotation_id(entry: Entry) -> int | str | None:
    """Return what to call the annotation: a number, a text, or nothing."""
    if not entry.has("id"):
        return None
    found = entry.value["id"]
    return found if isinstance(found, str) else entry.integer("id")


def _box_around(entry: Entry, box: SourceBox, image: SourceImage) -> SourceBox:
    """Return the box around the annotation's segmentation; `box` if it has none."""
    try:
        around = box_around(entry.value.get("segmentation"), image.width, image.height)
    except ValueError as error:
        found = shown(entry.value["segmentation"])
        raise entry.error("segmentation", f"found {found}; {error}") from error
    return box if around is None else box.at(around)


def _group(entry: Entry, key: str) -> str:
    """Return the group, a text or a number in the file."""
    found = entry.value.get(key)
    if found is None:
        given = [key for key, value in entry.value.items() if value is not None]
        raise entry.error(key, f"missing, and `split.groups` needs it; {nearest(key, given)}")
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        raise entry.error(key, f"found {shown(found)}; must be a text or a number")
    return str(found)
