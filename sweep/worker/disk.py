"""Whether there is room left where trials write."""

import errno
import os
import tempfile
from pathlib import Path

_ROOM_BYTES = 2**20


def lacks_room(folder: Path) -> bool:
    """Whether a file of 1 MB cannot be written below `folder`, for want of space or of quota."""
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(bytes(_ROOM_BYTES))
            file.flush()
            os.fsync(file.fileno())  # some file systems find out only then
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return False
