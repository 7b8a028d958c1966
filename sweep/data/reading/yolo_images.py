"""Which files a YOLO tree's `data.yaml` means by the places of a split."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from glob import escape, glob
from pathlib import Path
from typing import Any

from sweep.data.prepared import Split
from sweep.data.reading.file_names import AmbiguousNameError, FileNames, FoundFile, nearest_file
from sweep.data.reading.yolo_labels import label_file
from sweep.errors import InputError

IMAGE_SUFFIXES = {
    *(".bmp", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp"),
    *(".avif", ".dng", ".heic", ".heif", ".jp2"),
}
"""What Ultralytics takes for an image. The latter cannot be read here, and are not passed over."""
OTHER_SUFFIXES = {
    *(".gif", ".ico", ".jfif", ".jpe", ".jxl", ".pbm", ".pgm", ".pnm", ".ppm", ".psd", ".svg"),
    *(".tga", ".arw", ".cr2", ".nef", ".exr", ".hdr"),
}
"""Of images that Ultralytics passes over."""


@dataclass(frozen=True, kw_only=True)
class SplitFiles:
    """The files in the places of a split."""

    images: tuple[Path, ...]
    others: tuple[Path, ...] = ()
    """Images of the same folders that Ultralytics passes over."""
    labels: tuple[Path, ...] = ()
    """Label files that belong to an image of these folders, or to none."""
    found_otherwise: tuple[FoundFile, ...] = ()


def split_files(data_yaml: Path, root: Path, split: Split, places: Any) -> Iterator[SplitFiles]:
    """Yield the files of each place of a split, a folder or a text file that lists images.

    Raises:
        InputError: If a place or a listed image is not there, or a place holds no image.
    """
    for place in places if isinstance(places, list) else [places]:
        if not isinstance(place, str):
            raise InputError(f"{data_yaml}: {split}: found {place!r}; must be a folder or a list")
        where = f"{data_yaml}: {split}"
        path, found_otherwise = _place(where, root, place)
        if path.is_dir():
            found = _in_folder(path)
        elif path.is_file() and path.suffix == ".txt":
            found = _in_list(path, root)
        else:
            raise InputError(
                f"{where}: no such folder or .txt file: {path}{nearest_file(place, root)}"
            )
        if not found.images:
            other = [f" that Ultralytics reads, but {file.name}" for file in found.others[:1]]
            raise InputError(f"{where}: no image in {path}{''.join(other)}")
        yield SplitFiles(
            images=found.images,
            others=found.others,
            labels=found.labels,
            found_otherwise=found_otherwise + found.found_otherwise,
        )


def has_images(data_yaml: Path, root: Path, place: Any) -> bool:
    """Whether a place of test images may hold some: all but a folder that is not there or empty."""
    if not isinstance(place, str) or place.endswith(".txt"):
        return True
    path, _ = _place(f"{data_yaml}: test", root, place)
    return path.is_dir() and bool(_in_folder(path).images)


def _place(where: str, root: Path, place: str) -> tuple[Path, tuple[FoundFile, ...]]:
    path = root / place
    if not path.exists() and place.startswith("../"):
        path = root / place.removeprefix("../")  # as Ultralytics does for Roboflow's exports
    if path.exists():
        return path, ()
    plain = place.replace("\\", "/")
    for spelling in (place, plain, plain.removeprefix("../")):
        found = find(f"{where}: found {place!r}", FileNames.on_disk(root), spelling)
        if found is not None:
            return root / found, (FoundFile(written=place, file=found),)
    return path, ()


def find(where: str, names: FileNames, written: str) -> str | None:
    """Return the one name that can be meant; InputError with `where` in front if several can."""
    try:
        return names.find(written)
    except AmbiguousNameError as error:
        raise InputError(f"{where}; {error}") from error


def _in_folder(folder: Path) -> SplitFiles:
    """Return the files below a folder."""
    # As Ultralytics finds them: behind links, too, but none with a dot in front.
    files = sorted(_below(folder, "*.*"))
    images = tuple(file for file in files if file.suffix.lower() in IMAGE_SUFFIXES)
    labels = set(_below(label_file(folder / "_").parent, "*.txt"))
    for beside in {label_file(image).parent for image in images}:
        labels.update(beside.glob("*.txt"))
    return SplitFiles(
        images=images,
        others=tuple(file for file in files if file.suffix.lower() in OTHER_SUFFIXES),
        labels=tuple(sorted(labels)),
    )


def _below(folder: Path, pattern: str) -> Iterator[Path]:
    return map(Path, glob(f"{escape(str(folder))}/**/{pattern}", recursive=True))  # noqa: PTH207


def _in_list(file: Path, root: Path) -> SplitFiles:
    """Return the images that a text file lists, by names relative to it or to the tree."""
    lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    written = {number: line.strip() for number, line in enumerate(lines, 1) if line.strip()}
    there = {line for line in written.values() if os.path.lexists(file.parent / line)}
    folders = dict.fromkeys((file.parent, root))
    names = {
        folder: FileNames.on_disk(folder, {os.path.relpath(file.parent / n, folder) for n in there})
        for folder in folders
    }
    images: list[Path] = []
    found_otherwise: list[FoundFile] = []
    for number, line in written.items():
        if line in there:
            images.append(file.parent / line)
            continue
        where = f"{file}: line {number}"
        for folder in folders:
            found = find(f"{where}: found {line[:80]!r}", names[folder], line)
            if found is not None:
                images.append(folder / found)
                found_otherwise.append(FoundFile(written=line, file=found))
                break
        else:
            raise InputError(f"{where}: no image {line[:80]!r}{nearest_file(line, root)}")
    beside = {image.parent for image in images}
    owned = {label_file(other) for folder in beside for other in folder.glob("*.*")}
    labels = {label for folder in beside for label in label_file(folder / "_").parent.glob("*.txt")}
    return SplitFiles(
        images=tuple(images),
        labels=tuple(sorted(labels - owned)),
        found_otherwise=tuple(found_otherwise),
    )
