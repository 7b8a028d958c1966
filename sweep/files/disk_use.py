"""How much disk folders take."""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class DiskUse:
    """What was counted of some folders."""

    bytes: int = 0
    """Of the files' contents; a link counts as a link."""
    files: int = 0
    complete: bool = True
    """Whether all was counted; else it is more."""


def disk_use(
    paths: Iterable[Path], *, limit_s: float, clock: Callable[[], float] = time.monotonic
) -> DiskUse:
    """Count what files and folders take; what is not there takes nothing.

    Args:
        paths: The files and folders.
        limit_s: How long counting may take, in seconds: a folder may hold any number of files.
        clock: Monotonic seconds.
    """
    until = clock() + limit_s
    size = files = 0
    folders = []
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            folders.append(str(path))
        else:
            with suppress(OSError):
                size += path.lstat().st_size
                files += 1
    while folders:
        try:
            entries = os.scandir(folders.pop())
        except OSError:  # removed meanwhile, or not to be read
            continue
        with entries:
            for entry in entries:
                if clock() > until:
                    return DiskUse(bytes=size, files=files, complete=False)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                    continue
                with suppress(OSError):
                    size += entry.stat(follow_symlinks=False).st_size
                    files += 1
    return DiskUse(bytes=size, files=files)
