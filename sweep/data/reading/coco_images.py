"""The images of a COCO file: which files they are, and how large."""

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from sweep.data.reading.file_names import (
    AmbiguousNameError,
    FileNames,
    FoundFile,
    inside,
    leads_out,
    nearest_file,
)
from sweep.data.reading.json_entry import Entry, shown
from sweep.data.reading.picture import upright_size
from sweep.data.reading.source import SourceImage

_LONGEST = 255
"""Bytes of a file's name, on every common file system."""


def locate(
    folder: Path, records: Mapping[int, Entry], *, downloads: bool
) -> tuple[dict[int, Path], tuple[FoundFile, ...]]:
    """Return each image's file, there or not, and those that their entries name otherwise.

    Links are followed, except by what is to be written.

    Args:
        folder: The image folder.
        records: The entries of the images by id.
        downloads: Whether images that are not there will be fetched.

    Raises:
        InputError: If a name leaves the folder, or two entries, or two files, are meant by one.
    """
    root = os.path.abspath(folder)  # noqa: PTH100
    as_written = {image_id: _as_written(folder, entry) for image_id, entry in records.items()}
    there = {name for name in as_written.values() if name and os.path.lexists(folder / name)}
    names = FileNames.on_disk(folder, there)
    paths: dict[int, Path] = {}
    owners: dict[str, str] = {}

    @cache
    def leads_elsewhere(parent: Path) -> bool:
        return not parent.resolve().is_relative_to(folder.resolve())

    found_otherwise: list[FoundFile] = []
    for image_id, entry in records.items():
        name, written = as_written[image_id], entry.text("file_name")
        if name not in there:
            try:
                found = names.find(written)
            except AmbiguousNameError as error:
                raise entry.error("file_name", f"found {shown(written)}; {error}") from error
            if found:
                found_otherwise.append(FoundFile(written=written, file=found))
            name = found or inside(root, written.replace("\\", "/"))
            if downloads and not found and name and leads_elsewhere((folder / name).parent):
                name = None
        if name is None:
            raise entry.error(
                "file_name",
                f"found {shown(written)}; must lie in the image folder {folder}"
                f"{nearest_file(written, folder)}",
            )
        if name in owners:
            raise entry.error("file_name", f"found the file of {owners[name]} again; keep one")
        owners[name] = entry.where
        paths[image_id] = folder / name
    return paths, tuple(found_otherwise)


def _as_written(folder: Path, entry: Entry) -> str | None:
    """Return an image's name below the folder; None if only its last parts may be there."""
    name = entry.text("file_name")
    if leads_out(folder, name):
        raise entry.error(
            "file_name", f"found {shown(name)}; must lie in the image folder {folder}"
        )
    try:
        unfit = any(len(os.fsencode(part)) > _LONGEST for part in name.split("/"))
    except UnicodeEncodeError:
        unfit = True
    if unfit or "\0" in name:
        raise entry.error("file_name", f"found {shown(name)}; not a file name")
    return inside(os.path.abspath(folder), name)  # noqa: PTH100


def read_image(entry: Entry, path: Path, url_key: str | None) -> SourceImage:
    """Return an image without its boxes; its size is measured if the entry does not give it.

    Raises:
        InputError: If the entry is wrong.
        PictureError: If the file that is to be measured is no image.
    """
    url = None if url_key is None else _url(entry, url_key, path)
    missing = [key for key in ("width", "height") if not entry.has(key)]
    if missing:
        try:
            width, height = upright_size(path)
        except OSError as error:
            raise entry.error(
                missing[0], f"missing, and {path} cannot be measured: {error.strerror}; add it"
            ) from error
    else:
        width, height = entry.size("width"), entry.size("height")
    return replace(unmeasured(entry, path), width=width, height=height, url=url)


def unmeasured(entry: Entry, path: Path) -> SourceImage:
    """Return an image without boxes, its size 1x1 px as long as it is not known."""
    return SourceImage(
        name=entry.text("file_name"), width=1, height=1, boxes=(), read=path.read_bytes, path=path
    )


def _url(entry: Entry, key: str, path: Path) -> str | None:
    """Return where an image can be fetched; None if that is not given and the image is there."""
    if not entry.has(key) and path.is_file():
        return None
    url = entry.text(key)
    if not url.startswith(("https://", "http://")):
        raise entry.error(key, f"found {shown(url)}; must be an http or https address")
    return url
