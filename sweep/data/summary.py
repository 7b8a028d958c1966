"""What a dataset file comes to, without its images."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sweep.data.cleaning import CleanDataset, read_clean
from sweep.data.dataset_file import DatasetSpec
from sweep.data.prepared import SPLITS, Split
from sweep.data.splitting.assign import assign_splits


@dataclass(frozen=True, kw_only=True)
class DatasetSummary:
    """Counts of a dataset as its file describes it, after merging and mending."""

    name: str
    images: int
    missing: int
    """Images whose file is not there."""
    boxes: int
    classes: tuple[str, ...]
    boxes_per_class: Mapping[str, int]
    """In the order of `classes`, zeros included."""
    images_per_split: Mapping[Split, int]
    boxes_per_split: Mapping[Split, int]
    """Both as far as they are known before images are read: of splits that the source has, and of
    one that is drawn without a part."""
    cleaning: Mapping[str, int]
    """How many boxes were mended or left out, by why; zeros included."""


def check(spec: DatasetSpec) -> DatasetSummary:
    """Check a dataset file against its source; images may be missing and are not decoded.

    Raises:
        InputError: If the source is wrong, or the dataset file does not fit it, or it cannot be
            split.
    """
    clean = read_clean(spec)
    if spec.split is None or spec.split.groups is not None:  # else what the images hold decides
        assign_splits(spec, clean, [image.name for image in clean.source.images])
    labels = Counter(box.label for boxes in clean.boxes for box in boxes)
    images, boxes_in = _split_counts(spec, clean)
    return DatasetSummary(
        name=spec.name,
        images=len(clean.source.images),
        missing=sum(
            image.path is not None and not image.path.is_file() for image in clean.source.images
        ),
        boxes=labels.total(),
        classes=clean.classes,
        boxes_per_class={name: labels[index] for index, name in enumerate(clean.classes)},
        images_per_split=images,
        boxes_per_split=boxes_in,
        cleaning=clean.cleaning,
    )


def _split_counts(
    spec: DatasetSpec, clean: CleanDataset
) -> tuple[Mapping[Split, int], Mapping[Split, int]]:
    """Return images and boxes of each split that is known."""
    if spec.split is not None:
        none: Mapping[Split, int] = {"test": 0} if spec.split.test == 0 else {}
        return none, none
    images: Counter[Split] = Counter()
    boxes: Counter[Split] = Counter()
    for image, found in zip(clean.source.images, clean.boxes, strict=True):
        if image.split is not None:
            images[image.split] += 1
            boxes[image.split] += len(found)
    return {split: images[split] for split in SPLITS}, {split: boxes[split] for split in SPLITS}
