"""What tells one prepared dataset from another."""

import hashlib
import json
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from sweep.data.cleaning import CleanDataset
from sweep.data.dataset_file import DatasetSpec
from sweep.data.splitting.groups import image_groups

VERSION = 2
"""Raise it when the same input is prepared to another output: old folders are then left alone."""

# Not `astuple`, which takes most of the time of a dataset of a million boxes.
_BOX = attrgetter("label", "x", "y", "width", "height", "annotation")
_MENDING = attrgetter("reason", "image", "annotation", "before", "after")


def fingerprint(spec: DatasetSpec, clean: CleanDataset, digests: Sequence[str]) -> str:
    """Return the hash of images, boxes, settings and `VERSION`; hexadecimal, 64 digits.

    The dataset's name and the place of its files do not enter.

    Args:
        spec: The dataset file.
        clean: The dataset.
        digests: SHA-256 of each image's bytes.
    """
    inputs: dict[str, Any] = {
        "version": VERSION,
        "size": spec.size,
        "resize": spec.resize,
        "split": spec.split and spec.split.model_dump(),
        "classes": clean.classes,
        "images": [
            (image.name, image.width, image.height, image.split, digest, list(map(_BOX, boxes)))
            for image, digest, boxes in zip(clean.source.images, digests, clean.boxes, strict=True)
        ],
        "mended": list(map(_MENDING, clean.mended)),
        "left_out": [left.image.name for left in clean.source.left_out],
    }
    if (groups := image_groups(spec, clean.source)) is not None:
        inputs["groups"] = groups
    if unused := clean.source.labels_without_image:  # so that a report that is there names them
        inputs["labels_without_image"] = [label.name for label in unused]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
