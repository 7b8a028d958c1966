"""From whatever was annotated to boxes that can be trained on: classes merged, boxes mended."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sweep.data.annotation_fixes import ROUNDING_PX, AnnotationFix, Reason
from sweep.data.dataset_file import CocoSource, DatasetSpec, SyntheticSource, YoloSource
from sweep.data.reading.coco import read_coco
from sweep.data.reading.predefined_splits import predefined_splits
from sweep.data.reading.source import AnnotatedBox, Source, SourceBox, SourceImage
from sweep.data.reading.synthetic import draw_shapes
from sweep.data.reading.yolo import read_yolo
from sweep.errors import InputError, nearest

MIN_SIDE_PX = 1.0
"""A box that has less than this left inside its image, in either direction, is dropped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Box(AnnotatedBox):
    """One box that lies in its image."""

    label: int
    """Index into `CleanDataset.classes`."""


@dataclass(frozen=True, kw_only=True)
class CleanDataset:
    """A dataset whose boxes have the classes of the dataset file and lie in their images."""

    source: Source
    classes: tuple[str, ...]
    labels: Mapping[str, int]
    """Source class -> index of its class; those that are dropped are not in it."""
    boxes: tuple[tuple[Box, ...], ...]
    """The boxes of each of `source.images`."""
    mended: tuple[AnnotationFix, ...]
    """Every annotation that was mended or left out."""

    @property
    def cleaning(self) -> Mapping[str, int]:
        """How many annotations were mended or left out, by why; zeros included."""
        counts = Counter(mending.reason for mending in self.mended)
        return {reason.value: counts[reason] for reason in Reason}


def read_clean(spec: DatasetSpec) -> CleanDataset:
    """Read the source of a dataset file and clean it.

    Images are opened only where the source does not state their size, as in YOLO trees.

    Raises:
        InputError: If the source is wrong, or `classes` and `drop` do not fit it.
    """
    return clean_source(spec, _read(spec))


def clean_source(spec: DatasetSpec, source: Source) -> CleanDataset:
    """Merge the classes of a source and mend its boxes.

    Raises:
        InputError: If `classes` and `drop` do not fit the source.
    """
    classes, labels = _merge(spec, source.classes)
    mended = list(source.mended)
    boxes = tuple(tuple(_clean(image, labels, mended)) for image in source.images)
    return CleanDataset(
        source=source, classes=classes, labels=labels, boxes=boxes, mended=tuple(mended)
    )


def _read(spec: DatasetSpec) -> Source:
    match spec.source:
        case CocoSource(coco=annotations, images=images, download=url_key, boxes=boxes):
            source = read_coco(
                annotations,
                images,
                url_key,
                around=boxes == "segmentation",
                group_key=spec.group_field,
                leave_out_damaged=spec.damaged == "leave out",
            )
            return predefined_splits(spec, source)
        case YoloSource(yolo=data_yaml):
            return read_yolo(data_yaml, leave_out_damaged=spec.damaged == "leave out")
        case SyntheticSource(images=count, seed=seed):
            if spec.size is None:  # the dataset file's own check refuses this
                raise ValueError("a drawn dataset needs a size")
            return draw_shapes(count=count, size_px=spec.size, seed=seed)


def _merge(spec: DatasetSpec, names: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, int]]:
    """Return the classes and, for every source class that is kept, the index of its class."""
    classes = spec.classes
    if classes is None:
        classes = {name: (name,) for name in names if name not in spec.drop}
    listed = [("drop", spec.drop), *((f"classes.{name}", found) for name, found in classes.items())]
    for field, found in listed:
        for name in found:
            if name not in names:
                raise InputError(f"{spec.file}: {field}: no class {name!r}; {nearest(name, names)}")
    if not classes:
        raise InputError(f"{spec.file}: drop: leaves no class; keep one")
    labels = {name: index for index, found in enumerate(classes.values()) for name in found}
    if left := [name for name in names if name not in labels and name not in spec.drop]:
        raise InputError(
            f"{spec.file}: classes: {len(left)} source classes are in no class "
            f"({', '.join(left[:5])}{', …' if len(left) > 5 else ''}); add them, or list them "
            "under `drop`"
        )
    return tuple(classes), labels


def _clean(
    image: SourceImage, labels: Mapping[str, int], mended: list[AnnotationFix]
) -> Iterator[Box]:
    seen: set[Box] = set()

    def note(found: SourceBox, reason: Reason, box: Box | None = None) -> None:
        mended.append(found.fix(reason, image.name, box))

    for found in image.boxes:
        if found.category not in labels:
            note(found, Reason.DROPPED)
        elif found.crowd:
            note(found, Reason.CROWD)
        else:
            box = _clip(found, image, labels[found.category])
            # Ultralytics trains on one of two equal boxes; COCO's evaluation would expect both.
            if box.width < MIN_SIDE_PX or box.height < MIN_SIDE_PX:
                note(found, Reason.WITHOUT_AREA)
            elif box in seen:
                note(found, Reason.REPEATED)
            else:
                seen.add(box)
                if max(found.width - box.width, found.height - box.height) > ROUNDING_PX:
                    note(found, Reason.CLIPPED, box)
                yield box


def _clip(found: SourceBox, image: SourceImage, label: int) -> Box:
    right, bottom = found.x + found.width, found.y + found.height
    x, y, width, height = found.corners
    if x < 0 or y < 0 or right > image.width or bottom > image.height:
        x, y = max(x, 0.0), max(y, 0.0)
        width = min(right, float(image.width)) - x
        height = min(bottom, float(image.height)) - y
    return Box(label=label, x=x, y=y, width=width, height=height, annotation=found.annotation)
