"""The splits that a COCO dataset already has, as lists of its images or as folders."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sweep.data.dataset_file import CocoSource, DatasetSpec
from sweep.data.prepared import SPLITS, Split
from sweep.data.reading.source import Source
from sweep.errors import InputError


def predefined_splits(spec: DatasetSpec, source: Source) -> Source:
    """Return the source with each image's split; as it is if the dataset file names none.

    Raises:
        InputError: If a list cannot be read, or an image is in no split or in two.
    """
    if not isinstance(spec.source, CocoSource) or spec.source.splits is None:
        return source
    given = spec.source.splits
    known = {_plain(image.name): image.name for image in source.images}
    splits: dict[str, Split] = {}
    for split in SPLITS:
        place = getattr(given, split)
        where = f"{spec.file}: source.splits.{split}"
        found = list(_names(place, known, where)) if place else []
        if place and not found:
            raise InputError(f"{where}: no image in {place}; correct it, or leave it out")
        for name in found:
            if splits.setdefault(name, split) != split:
                raise InputError(f"{where}: {name} is in {splits[name]} as well; keep one")
    if left := [image.name for image in source.images if image.name not in splits]:
        raise InputError(
            f"{spec.file}: source.splits: {len(left)} of {len(known)} images are in no split "
            f"({', '.join(left[:3])}{', …' if len(left) > 3 else ''}); add them, or take them out "
            f"of {spec.source.coco}"
        )
    images = (replace(image, split=splits[image.name]) for image in source.images)
    return replace(source, images=tuple(images))


def _names(place: str, known: dict[str, str], where: str) -> Iterator[str]:
    """Yield the images that a text file lists, or those in a folder."""
    if not place.endswith(".txt"):
        folder = PurePosixPath(place)
        yield from (
            name for plain, name in known.items() if PurePosixPath(plain).is_relative_to(folder)
        )
        return
    try:
        lines = Path(place).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise InputError(f"{where}: {place}: cannot be read: {reason}") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            name = known.get(_plain(line.strip()))
            if name is None:
                raise InputError(
                    f"{where}: {place}: line {number}: no image {line.strip()[:80]!r}; list file "
                    "names as the COCO file has them"
                )
            yield name


def _plain(name: str) -> str:
    return PurePosixPath(name).as_posix()
