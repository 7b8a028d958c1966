"""Files that are whole or not there, and on the disk, not only in its cache."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO

from sweep import paths


@contextmanager
def atomic_write(path: Path, *, part: Path | None = None, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Give a file to write, which takes the place of `path` when the block ends without an error.

    Its name is on the disk after `sync_folder` only.

    Args:
        path: The file; its folder exists.
        part: Name of the file until then, in the same folder; what a killed process left there is
            removed. By default one that no other process has, for files that several may write.
        mode: Permissions of the file, less the umask.

    Raises:
        OSError: If it cannot be written.
    """
    part = part or paths.unfinished(path, secrets.token_hex(4))
    part.unlink(missing_ok=True)
    try:
        with open(part, "xb", opener=partial(os.open, mode=mode)) as file:
            yield file
            sync(file)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_file(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write a file by `atomic_write`."""
    with atomic_write(path, mode=mode) as file:
        file.write(data)


def write_json(path: Path, document: Any, *, indent: int | None = None, mode: int = 0o666) -> None:
    """Write a JSON file by `atomic_write`."""
    write_file(path, json.dumps(document, indent=indent).encode(), mode=mode)


def sync(file: IO[Any]) -> None:
    """Bring what was written to a file to the disk."""
    file.flush()
    if (whole := getattr(fcntl, "F_FULLFSYNC", None)) is not None:
        with suppress(OSError):  # not every file system knows it
            fcntl.fcntl(file.fileno(), whole)  # macOS' fsync leaves it in the disk's own memory
            return
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
