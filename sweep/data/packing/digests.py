"""SHA-256 of images, remembered so that an unchanged file is read once."""

import hashlib
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from sweep.data.reading.source import SourceImage
from sweep.errors import InputError
from sweep.files.atomic_write import write_json

CACHE = ".digests.json"
"""Name of the file below the folder of prepared datasets."""
_SETTLED_NS = 2_000_000_000
"""A file that changed more recently may change again within one tick of its clock."""

_Stamp = tuple[int, int, int]
"""Size in bytes, time of the last change to the content and to the inode, ns."""


def digests_of(images: Sequence[SourceImage], out: Path) -> list[str]:
    """Return the SHA-256 of every image's bytes, hexadecimal.

    Files whose size and times are those of an earlier call with the same `out` are not read again.

    Args:
        images: Images that are there.
        out: Folder of prepared datasets, which keeps what is known; it may be missing.

    Raises:
        InputError: If an image cannot be read.
    """
    known = _load(out / CACHE)
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda image: _digest(image, known), images))
    added = {path: entry for path, entry, _ in found if entry and known.get(path) != entry}
    if added:
        _save(out / CACHE, known | added)
    return [digest for _, _, digest in found]


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of an encoded image, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


_Entry = tuple[_Stamp, str]
_Known = dict[str, _Entry]


def _digest(image: SourceImage, known: _Known) -> tuple[str, _Entry | None, str]:
    """Return the image's path, what to remember of it, if anything, and its digest."""
    if image.path is None:
        return "", None, digest_of(image.read())
    path = str(image.path)
    try:
        before = _stamp(image.path)
        if path in known and known[path][0] == before:
            return path, known[path], known[path][1]
        digest = digest_of(image.read())
        settled = _stamp(image.path) == before and max(before[1:]) < time.time_ns() - _SETTLED_NS
    except OSError as error:
        raise InputError(f"{image.path}: cannot be read: {error.strerror}") from error
    return path, (before, digest) if settled else None, digest


def _stamp(path: Path) -> _Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _load(cache: Path) -> _Known:
    try:
        found = json.loads(cache.read_bytes())
        return {
            path: ((size, changed, moved), digest)
            for path, ((size, changed, moved), digest) in found.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # missing or damaged: everything is read again


def _save(cache: Path, known: _Known) -> None:
    with suppress(OSError):  # a folder that may only be read is no fault
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_json(cache, known)
