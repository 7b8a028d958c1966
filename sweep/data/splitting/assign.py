"""Which split each image of a dataset goes to: drawn, or as the source has it."""

from collections.abc import Sequence
from itertools import compress

from sweep.data.cleaning import CleanDataset
from sweep.data.dataset_file import DatasetSpec, SplitSpec
from sweep.data.prepared import SPLITS, Split
from sweep.data.splitting.stratified import stratified_split
from sweep.errors import InputError


def assign_splits(spec: DatasetSpec, clean: CleanDataset, keys: Sequence[str]) -> list[Split]:
    """Return each image's split.

    Args:
        spec: The dataset file.
        clean: The dataset.
        keys: What each image holds, such as a hash of its bytes; where the split is drawn, images
            with equal keys stay together.

    Raises:
        InputError: If a split would get no image, or train or val no box, or the source has
            no splits where the dataset file gives none.
    """
    splits = _drawn(spec, clean, keys, spec.split) if spec.split else _given(spec, clean)
    with_boxes = set(compress(splits, clean.boxes))
    for split in SPLITS[:2]:
        if split not in with_boxes:
            raise InputError(f"{spec.file}: {split}: none of its images has a box; annotate some")
    return splits


def _drawn(
    spec: DatasetSpec, clean: CleanDataset, keys: Sequence[str], wanted: SplitSpec
) -> list[Split]:
    labels = [{box.label for box in boxes} for boxes in clean.boxes]
    ratios = {split: float(getattr(wanted, split)) for split in SPLITS}
    splits = stratified_split(keys, labels, ratios, wanted.seed)
    for split in SPLITS:
        if ratios[split] > 0 and split not in splits:
            alike = len(keys) - len(set(keys))
            raise InputError(
                f"{spec.file}: split.{split}: none of {len(keys)} images falls to "
                f"{ratios[split]:g}{f', as {alike} repeat others' if alike else ''}; raise it or "
                "add images"
            )
    return splits


def _given(spec: DatasetSpec, clean: CleanDataset) -> list[Split]:
    images = clean.source.images
    splits = [image.split for image in images if image.split]
    if len(splits) < len(images):
        raise InputError(
            f"{spec.file}: val: missing; the tree needs train and val, or {_anew(spec)}"
        )
    return splits


def _anew(spec: DatasetSpec) -> str:
    """Say how the images are split anew."""
    split = "`split: {train: 0.7, val: 0.2, test: 0.1}`"
    if not spec.is_data_yaml:
        return f"add {split} to split anew"
    return f"write a dataset file with `source: {{yolo: {spec.file.name}}}` and {split}"


def refuse_shared(spec: DatasetSpec, clean: CleanDataset, digests: Sequence[str]) -> None:
    """Refuse splits of the source that share an image.

    Args:
        spec: The dataset file.
        clean: The dataset.
        digests: SHA-256 of each image's bytes.

    Raises:
        InputError: If an image lies on two sides.
    """
    first: dict[str, int] = {}
    for index, (image, digest) in enumerate(zip(clean.source.images, digests, strict=True)):
        other = clean.source.images[first.setdefault(digest, index)]
        if other.split != image.split:
            raise InputError(
                f"{spec.file}: split: {other.name} ({other.split}) and {image.name} "
                f"({image.split}) are the same image; {_anew(spec)}"
            )
