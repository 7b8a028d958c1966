"""Files and folders that are on the disk, not only in its cache, when a call returns."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_file(path: Path, data: bytes) -> None:
    """Write a file."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, document: dict[str, Any], indent: int | None = None) -> None:
    """Write a JSON file."""
    write_file(path, json.dumps(document, indent=indent).encode())


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a file to write, which takes the place of `path` when it is on the disk."""
    part = path.with_suffix(".part")
    yield part
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
