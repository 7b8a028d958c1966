"""`report.json`: what was read, mended, left out and written, for programs to read."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from sweep.data.annotation_fixes import Reason
from sweep.data.packing.fingerprint import VERSION
from sweep.data.packing.folder import Plan
from sweep.data.prepared import SPLITS, PreparedDataset, Split
from sweep.data.reading.source import Source

MAX_SHARE_OFF = 0.1
"""How far a split's share of the images may be off before the user is told."""


def report(plan: Plan, dataset: PreparedDataset) -> dict[str, Any]:
    """Return the report as plain JSON values; the same for the same input."""
    source = plan.clean.source
    return {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "version": VERSION,
        "classes": dataset.classes,
        "settings": plan.spec.model_dump(
            mode="json", include={"size", "resize", "split", "classes", "drop", "damaged"}
        ),
        "images_per_split": dataset.images_per_split,
        "boxes_per_split": dataset.boxes_per_split,
        "boxes_per_class": boxes_per_class(plan),
        "source": {
            "images": len(source.all_images),
            "boxes": sum(len(image.boxes) for image in source.all_images),
            "classes": len(source.classes),
            "boxes_per_class": source_boxes(plan),
        },
        "boxes_per_class_before": boxes_before(plan),
        "images_left_out": [
            {"image": left.image.name, "boxes": len(left.image.boxes), "why": left.why}
            for left in source.left_out
        ],
        "found_otherwise": [
            {"written": found.written, "file": found.file} for found in source.found_otherwise
        ],
        "labels_without_image": [
            {"labels": file.name, "boxes": file.boxes} for file in source.labels_without_image
        ],
        "images_turned": [image.source for image in plan.images if image.turned],
        "images_alike": similar_images(plan),
        "cleaning": plan.clean.cleaning,
        "mended": {reason.value: _mended(plan, reason) for reason in Reason},
        "warnings": warnings(plan),
    }


def boxes_per_class(plan: Plan) -> dict[Split, dict[str, int]]:
    """Return the boxes written, by split and class, zeros included."""
    counts: dict[Split, Counter[int]] = {
        split: Counter(box.label for image in plan.of(split) for box in image.boxes)
        for split in SPLITS
    }
    return {
        split: {name: counts[split][label] for label, name in enumerate(plan.clean.classes)}
        for split in SPLITS
    }


def boxes_before(plan: Plan) -> dict[Split, dict[str, int]]:
    """Return the source's boxes by split and the class they were merged into, before mending."""
    counts: dict[Split, Counter[int]] = {split: Counter() for split in SPLITS}
    for image, split in zip(plan.clean.source.images, plan.splits, strict=True):
        labels = (plan.clean.labels.get(box.category) for box in image.boxes)
        counts[split].update(label for label in labels if label is not None)
    return {
        split: {name: counts[split][label] for label, name in enumerate(plan.clean.classes)}
        for split in SPLITS
    }


def source_boxes(plan: Plan) -> dict[str, int]:
    """Return the boxes of the source by source class, before anything was mended."""
    source = plan.clean.source
    counts = Counter(box.category for image in source.all_images for box in image.boxes)
    return {name: counts[name] for name in source.classes}


def similar_images(plan: Plan) -> list[list[str]]:
    """Return the groups of two or more images that look alike, by their names in the source."""
    groups: dict[int, list[str]] = defaultdict(list)
    for image, first in zip(plan.images, plan.similar, strict=True):
        groups[first].append(image.source)
    return [names for names in groups.values() if len(names) > 1]


def warnings(plan: Plan) -> list[str]:
    """Return what the user should know before training on the dataset."""
    found = [*plan.clean.source.notes, *_left_aside(plan.clean.source)]
    for split, counts in boxes_per_class(plan).items():
        missing = [name for name, count in counts.items() if not count]
        if missing and split in plan.splits:
            found.append(f"{split}: no box of {', '.join(missing)}")
    found += _shares_off(plan)
    for index, first in enumerate(plan.similar):
        if plan.splits[first] != plan.splits[index]:
            found.append(
                f"{plan.images[first].source} ({plan.splits[first]}) and "
                f"{plan.images[index].source} ({plan.splits[index]}) look alike"
            )
    return found


def _shares_off(plan: Plan) -> list[str]:
    """Return the splits whose size is far from what was asked for, as images stay together."""
    split_spec, total = plan.spec.split, len(plan.splits)
    if split_spec is None or (split_spec.groups is None and len(set(plan.similar)) == total):
        return []
    return [
        f"{split}: {had} of {total} images instead of {wanted:.0%}, as those that look alike or "
        "are of one group stay together; see `split.groups`"
        for split in SPLITS
        for wanted, had in [(getattr(split_spec, split), plan.splits.count(split))]
        if abs(had / total - wanted) > MAX_SHARE_OFF
    ]


def _left_aside(source: Source) -> Iterator[str]:
    """Yield what became of files that are not quite what the source says, one line a kind."""
    if otherwise := source.found_otherwise:
        one = otherwise[0]
        yield (
            f"{len(otherwise)} files were found by another name than is written, such as "
            f"{one.file} for {one.written}"
        )
    if left_out := source.left_out:
        boxes = sum(len(left.image.boxes) for left in left_out)
        yield (
            f"{len(left_out)} images with {boxes} boxes are left out, such as "
            f"{left_out[0].image.name}: {left_out[0].why}"
        )
    if unused := source.labels_without_image:
        boxes = sum(file.boxes for file in unused)
        yield (
            f"{len(unused)} label files with {boxes} boxes have no image, such as {unused[0].name}"
        )


def _mended(plan: Plan, reason: Reason) -> list[dict[str, Any]]:
    return [
        {
            "image": mending.image,
            "annotation": mending.annotation,
            "before": mending.before,
            "after": mending.after,
        }
        for mending in plan.clean.mended
        if mending.reason is reason
    ]
