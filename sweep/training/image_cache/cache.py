"""The image cache: augmented images made once for a host, read by every trial that shares them.

One file an epoch, mapped into memory. Because an image is a function of (seed, epoch, index), it
does not matter who makes it, and what is not in the cache is made as if there were none, with the
same numbers.

<folder>/lock                                  held while files are made or removed
<folder>/<boot>-<format>-<key>-<epoch>.images  an epoch; one of another boot is removed, as bytes
                                               written before a power failure may be missing
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from sweep.files.lock import Held, lock
from sweep.training.contract import ImageCachePlace
from sweep.training.image_cache import epoch_file
from sweep.training.image_cache.epoch_file import PART, SUFFIX, Batch, EpochFile, Item, Layout

FORMAT = 2
"""Version of the files' layout, a part of their names."""
CLAIM_S = 20.0
"""How long to wait for an image that another process makes."""
LOCK_S = 60.0
"""How long to wait for another process that makes or removes files."""
_LEFT_FREE = 0.5
"""Part of the disk's free space that the cache leaves alone."""
_FORGOTTEN_S = 24 * 3600.0
"""What nobody opened for so long is removed when room is made."""

log = logging.getLogger(__name__)


class ImageCache:
    """The augmented images of one dataset under one augmentation and seed, by (epoch, index).

    Args:
        place: Where the host keeps its caches.
        key: Names everything that decides the images but for the epoch.
        images: How many there are.
        size_px: Their width and height.
        boxes: How many boxes an image may have.
    """

    def __init__(
        self, place: ImageCachePlace, key: str, *, images: int, size_px: int, boxes: int
    ) -> None:
        self._place = place
        self._layout = Layout(images=images, size_px=size_px, boxes=boxes)
        self._prefix = f"{_boot()}-{key}-"
        self._epoch = ""
        self._file: EpochFile | None = None
        self._held_up = False
        """Whether another process held the lock for too long."""

    def batch(
        self, epoch: str, indices: Sequence[int], make: Callable[[int], Item]
    ) -> tuple[Batch, int] | None:
        """Return the images of a batch and how many of them were read, not made.

        What another process is making now is left to it, while this one makes the rest; but not for
        ever. None where there is no room for the epoch.

        Args:
            epoch: Names the epoch.
            indices: Of the images.
            make: Makes an image.
        """
        file = self._open(epoch)
        if file is None:
            return None
        made: dict[int, Item] = {}
        left = []
        for index in indices:
            if file.has(index):
                continue
            if file.try_claim(index):
                self._make_unless_there(file, index, make, made)
            else:
                left.append(index)
        for index in left:
            if file.claim(index, within_s=CLAIM_S):
                self._make_unless_there(file, index, make, made)
            elif not file.has(index):
                # Whoever makes it was stopped. It is the same image, so both may write it.
                log.warning("epoch %s: image %d is made here, too: its maker is late", epoch, index)
                made[index] = make(index)
                file.put(index, made[index])
        file.count(indices)
        return file.batch(indices, made), len(indices) - len(made)

    @staticmethod
    def _make_unless_there(
        file: EpochFile, index: int, make: Callable[[int], Item], made: dict[int, Item]
    ) -> None:
        """Make a claimed image unless it came meanwhile; releases the claim."""
        try:
            if not file.has(index):
                made[index] = make(index)
                file.put(index, made[index])
        finally:
            file.release(index)

    def close(self) -> None:
        """Leave the cache, and remove what all its trainings have read."""
        self._leave_epoch()
        if self._held_up:
            return
        with suppress(OSError, Held), lock(self._place.folder / "lock", within_s=LOCK_S):
            self._remove_read()

    def _leave_epoch(self) -> None:
        if self._file is not None:
            self._file.close()
        self._epoch, self._file = "", None

    def _open(self, epoch: str) -> EpochFile | None:
        """Return the epoch's file, made if there is room for it; None if there is not."""
        if epoch != self._epoch and not self._held_up:
            self._leave_epoch()
            self._epoch, self._file = epoch, self._find_or_make(f"{self._prefix}{epoch}{SUFFIX}")
        return self._file

    def _find_or_make(self, name: str) -> EpochFile | None:
        folder = self._place.folder
        path = folder / name
        try:
            with lock(folder / "lock", within_s=LOCK_S):
                if path.exists():
                    os.utime(path)
                elif self._make_room():
                    epoch_file.make(path, self._layout)
                else:
                    return None
                return EpochFile(path, self._layout)
        except OSError:  # a full or read-only disk: the training does without
            return None
        except Held as held:  # and so it does for its other epochs, rather than wait in each
            log.warning("no images are shared any more: %s", held)
            self._held_up = True
            return None

    def _make_room(self) -> bool:
        """Remove what is not wanted until one more epoch fits; return whether it does.

        First what all its trainings have read and what was forgotten, then the least recently used
        epochs of other keys. Epochs of this key that are still to be read stay: trials go
        through them in turn, so the one used least recently is the one wanted next.
        """
        self._remove_read()
        others, used = [], 0
        for path in self._files():
            status = path.stat()
            if time.time() - status.st_mtime > _FORGOTTEN_S:
                path.unlink()
                continue
            used += status.st_size
            if not path.name.startswith(self._prefix):
                others.append((status.st_mtime, status.st_size, path))
        disk = os.statvfs(self._place.folder)
        free = disk.f_bavail * disk.f_frsize
        allowed = min(self._place.disk_cap_gb * 1e9, used + free * (1 - _LEFT_FREE))
        others.sort()
        while used + self._layout.bytes > allowed and others:
            _, size, path = others.pop(0)
            path.unlink()
            used -= size
        return used + self._layout.bytes <= allowed

    def _remove_read(self) -> None:
        """Remove the epochs of this key that all its trainings have read."""
        for path in self._files():
            if not path.name.startswith(self._prefix):
                continue
            whole = path.stat().st_size == self._layout.bytes
            if not whole or epoch_file.fewest_reads(path, self._layout) >= self._place.trainings:
                path.unlink()

    def _files(self) -> list[Path]:
        """List the epochs of all keys; removes what an earlier boot or a dead maker left."""
        boot, found = _boot(), []
        for path in self._place.folder.iterdir():
            if path.suffix == SUFFIX and path.name.startswith(boot):
                found.append(path)
            elif path.suffix in (SUFFIX, PART):
                path.unlink()
        return found


def _boot() -> str:
    """Return what the names of this boot's files begin with."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")[:12]
    except OSError:  # another system than Linux
        boot = f"{int(psutil.boot_time()):012x}"
    return f"{boot}-{FORMAT}"
