"""Which images stay together because the dataset file's `split.groups` says so."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from sweep.data.dataset_file import DatasetSpec
from sweep.data.reading.source import Source, SourceImage
from sweep.data.split_section import ImageGroups
from sweep.errors import InputError


def image_groups(spec: DatasetSpec, source: Source) -> list[str] | None:
    """Return the group of each image; None if the dataset file names no groups.

    Raises:
        InputError: If the pattern is not in the name of an image.
    """
    match spec.split and spec.split.groups:
        case "folder":
            return [str(PurePosixPath(image.name).parent) for image in source.images]
        case ImageGroups(name=str(pattern)):
            return [_in_name(spec, pattern, image) for image in source.images]
        case ImageGroups():
            return [str(image.group) for image in source.images]
        case _:
            return None


def _in_name(spec: DatasetSpec, pattern: str, image: SourceImage) -> str:
    found = re.search(pattern, image.name)
    if found is None:
        raise InputError(
            f"{spec.file}: split.groups.name: {pattern!r} is not in {image.name!r}; correct it, "
            f"or write {pattern + '|(.*)'!r}: other images are then each by themselves"
        )
    return repr(found.groups())


def joined(groups: Sequence[str], digests: Sequence[str]) -> list[str]:
    """Return the group of each image where groups that share an image are one.

    Args:
        groups: The group of each image.
        digests: SHA-256 of each image's bytes.
    """
    parents = {group: group for group in groups}
    owners: dict[str, str] = {}

    def root(group: str) -> str:
        while parents[group] != group:
            parents[group] = parents[parents[group]]
            group = parents[group]
        return group

    for group, digest in zip(groups, digests, strict=True):
        low, high = sorted((root(group), root(owners.setdefault(digest, group))))
        parents[high] = low
    return [root(group) for group in groups]
