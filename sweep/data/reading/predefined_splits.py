"""The splits that a COCO dataset already has, as lists of its images or as folders."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from sweep.data.dataset_file import CocoSource, DatasetSpec
from sweep.data.prepared import SPLITS, Split
from sweep.data.reading.file_names import AmbiguousNameError, FileNames, FoundFile, nearest_name
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
    known = _KnownNames(folder=spec.source.images, source=source)
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
            f"{spec.file}: source.splits: {len(left)} of {len(source.images)} images are in no "
            f"split ({', '.join(left[:3])}{', …' if len(left) > 3 else ''}); add them, or take "
            f"them out of {spec.source.coco}"
        )
    images = tuple(replace(image, split=splits[image.name]) for image in source.images)
    return replace(
        source, images=images, found_otherwise=(*source.found_otherwise, *known.found_otherwise)
    )


@dataclass(kw_only=True)
class _KnownNames:
    """The images of a source by the names that a list may have for them."""

    folder: Path
    source: Source
    found_otherwise: list[FoundFile] = field(default_factory=list)
    """What was looked up by another name."""

    def __post_init__(self) -> None:
        names = [image.name for image in self.source.all_images]
        found = {found.written: found.file for found in self.source.found_otherwise}
        by_file = {found.get(name, _plain(name)): name for name in names}
        self._spelled = FileNames.among(self.folder, by_file)
        self.names = by_file | {_plain(name): name for name in names}

    def find(self, written: str) -> str | None:
        """Return the name below the folder that is meant; AmbiguousNameError if several may be."""
        plain = _plain(written)
        if plain in self.names:
            return plain
        found = self._spelled.find(written)
        if found is not None:
            self.found_otherwise.append(FoundFile(written=written, file=found))
        return found

    def below(self, folder: str) -> Iterator[str]:
        """Yield the images in a folder."""
        for name, image in self.names.items():
            if PurePosixPath(name).is_relative_to(folder):
                yield image


def _names(place: str, known: _KnownNames, where: str) -> Iterator[str]:
    """Yield the images that a text file lists, or those in a folder."""
    if not place.endswith(".txt"):
        found = list(known.below(place))
        try:
            yield from found or known.below(known.find(place) or place)
        except AmbiguousNameError as error:
            raise InputError(f"{where}: found {place!r}; {error}") from error
        return
    try:
        lines = Path(place).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise InputError(f"{where}: {place}: cannot be read: {reason}") from error
    for number, line in enumerate(lines, 1):
        written = line.strip()
        if not written:
            continue
        at = f"{where}: {place}: line {number}"
        try:
            name = known.find(written)
        except AmbiguousNameError as error:
            raise InputError(f"{at}: found {written[:80]!r}; {error}") from error
        if name not in known.names:
            near = nearest_name(written, known.names)
            raise InputError(
                f"{at}: no image {written[:80]!r}; list file names as the COCO file has them"
                f"{f', such as {near}' if near else ''}"
            )
        yield known.names[name]


def _plain(name: str) -> str:
    return PurePosixPath(name).as_posix()
