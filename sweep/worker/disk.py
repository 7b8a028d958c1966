"""Whether there is room left where trials write."""

import errno
import os
import shutil
import tempfile
import time
from pathlib import Path

from sweep.worker.shutdown import NAP_S, Shutdown

_ROOM_BYTES = 2**20
_AGAIN_S = 10.0
"""How long a worker without room on its disk waits before it looks again."""


def lacks_room(folder: Path) -> bool:
    """Whether a file of 1 MB cannot be written below `folder`, for want of space or of quota."""
    try:
        with tempfile.TemporaryFile(dir=_existing(folder)) as file:
            file.write(bytes(_ROOM_BYTES))
            file.flush()
            os.fsync(file.fileno())  # some file systems find out only then
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return False


def await_room(folder: Path, shutdown: Shutdown) -> None:
    """Wait until there is room below `folder`, or this process was told to leave."""
    while not shutdown.requested and lacks_room(folder):
        until = time.monotonic() + _AGAIN_S
        while not shutdown.requested and time.monotonic() < until:
            time.sleep(NAP_S)


def looks_full(folder: Path) -> bool:
    """Whether the disk says that less than 1 MB is left; a quota shows only by writing."""
    try:
        return shutil.disk_usage(_existing(folder)).free < _ROOM_BYTES
    except OSError:
        return False


def unwritable(folder: Path) -> str | None:
    """Return the folder that must be written to and cannot be; None where all is well."""
    existing = _existing(folder)
    return None if os.access(existing, os.W_OK | os.X_OK) else str(existing)


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.is_dir())
