"""Which split each image of a dataset goes to: drawn, or as the source has it."""

from collections.abc import Sequence
from itertools import compress

from sweep.data.cleaning import CleanDataset
from sweep.data.dataset_file import CocoSource, DatasetSpec
from sweep.data.prepared import SPLITS, Split
from sweep.data.split_section import SplitSpec
from sweep.data.splitting.groups import image_groups, joined
from sweep.data.splitting.serving import serve_all
from sweep.data.splitting.stratified import stratified_split
from sweep.errors import InputError


def assign_splits(
    spec: DatasetSpec,
    clean: CleanDataset,
    digests: Sequence[str],
    similar: Sequence[int] | None = None,
) -> list[Split]:
    """Return each image's split.

    Where the split is drawn, the images of one of `split.groups` stay together, or if there are
    none those that repeat others; equal files do in any case.

    Args:
        spec: The dataset file.
        clean: The dataset.
        digests: SHA-256 of each image's bytes.
        similar: For each image the index of the first one of its group of near-identical images;
            None if that is not known yet.

    Raises:
        InputError: If a split would get no image, or train or val no box, or the source has
            no splits where the dataset file gives none.
    """
    if spec.split is None:
        splits = _given(spec, clean)
    else:
        groups = image_groups(spec, clean.source)
        if groups is not None:
            keys = joined(groups, digests)
        else:
            keys = [digests[first] for first in similar] if similar else list(digests)
        splits = _drawn(spec, clean, keys, spec.split)
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
    grouped = wanted.groups is not None
    splits = stratified_split(keys, labels, ratios, wanted.seed, large_first=grouped)
    splits = serve_all(splits, keys, labels, ratios, wanted.seed)
    for split in SPLITS:
        if ratios[split] > 0 and split not in splits:
            raise InputError(
                f"{spec.file}: split.{split}: none of {len(keys)} images falls to "
                f"{ratios[split]:g}{_why_none(spec, keys)}"
            )
    return splits


def _why_none(spec: DatasetSpec, keys: Sequence[str]) -> str:
    """Say why a split gets no image, and what to do about it."""
    alone = len(set(keys))
    if alone == len(keys):
        return "; raise it or add images"
    if spec.split and spec.split.groups:
        return (
            f", as `split.groups` tells {alone} from each other and each stays on one side; tell "
            "more, raise it or add images"
        )
    own = "source.splits" if isinstance(spec.source, CocoSource) else "the source's data.yaml"
    return (
        f", as {len(keys) - alone} look like others and stay with them; say in `split.groups` "
        "which belong together, such as `groups: {name: '(.*)'}` for each by itself, or name the "
        f"splits in {own}, or add images"
    )


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
