"""One epoch of the image cache: a file that processes map into memory to share its images."""

import fcntl
import mmap
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

Item = dict[str, torch.Tensor]
"""`img` 3 x H x W uint8, `cls` n x 1, `bboxes` n x 4 and `batch_idx` n, all float32."""
Batch = dict[str, torch.Tensor]
"""`img` B x 3 x H x W uint8; of all its images `cls` n x 1, `bboxes` n x 4 and `batch_idx` n."""

SUFFIX = ".images"
PART = ".images-part"
"""Of a file that is being made."""
COUNTING_S = 5.0
"""How long to wait for another process that counts, which takes microseconds."""
_SHORTEST_S, _LONGEST_S = 0.0005, 0.02
"""Between two looks whether a claim is free."""
_ALIGNMENT = 4096
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What is where in an epoch's file: two numbers an image, the images, the boxes."""

    images: int
    size_px: int
    boxes: int
    """Most boxes an image may have to be kept; others are made each time."""

    @property
    def image_bytes(self) -> int:
        """Of one image."""
        return 3 * self.size_px**2

    @property
    def images_at(self) -> int:
        """Place of the first image."""
        return _aligned(4 * self.images)

    @property
    def boxes_at(self) -> int:
        """Place of the first image's boxes."""
        return _aligned(self.images_at + self.images * self.image_bytes)

    @property
    def bytes(self) -> int:
        """Of the whole file."""
        return self.boxes_at + self.images * (1 + 5 * self.boxes) * 4


def _aligned(place: int) -> int:
    return -(-place // _ALIGNMENT) * _ALIGNMENT


class EpochFile:
    """One epoch's images, open in this process.

    Raises:
        OSError: If the file cannot be opened, or is not of this layout.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout = layout
        self._counting_s = COUNTING_S
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        if os.fstat(self._descriptor).st_size != layout.bytes:
            os.close(self._descriptor)
            raise OSError(f"{path} has another size than {layout.bytes} bytes")
        content = np.frombuffer(mmap.mmap(self._descriptor, layout.bytes), np.uint8)
        self._there, self._reads = _counts(content, layout)
        pixels = content[layout.images_at :][: layout.images * layout.image_bytes]
        self._pixels = pixels.reshape(layout.images, 3, layout.size_px, layout.size_px)
        numbers = content[layout.boxes_at :].view(np.float32)
        self._numbers = numbers.reshape(layout.images, 1 + 5 * layout.boxes)

    def close(self) -> None:
        """Close the file; what was claimed is free."""
        os.close(self._descriptor)

    def has(self, index: int) -> bool:
        """Return whether an image is there."""
        return bool(self._there[index])

    def count(self, indices: Sequence[int]) -> None:
        """Note that a training has read these images, or made them."""
        counting = self._layout.images  # the claim after those of the images
        if self.claim(counting, within_s=self._counting_s):
            self._reads[indices] += 1
            self.release(counting)
        else:  # not waited for again; the epoch is removed later, as the least recently used
            self._counting_s = 0.0

    def batch(self, indices: Sequence[int], others: dict[int, Item]) -> Batch:
        """Return a batch; each of its images is in `others` or there."""
        images = torch.empty((len(indices), *self._pixels.shape[1:]), dtype=torch.uint8)
        pixels = images.numpy()
        rows = []
        for place, index in enumerate(indices):
            if (item := others.get(index)) is not None:
                pixels[place] = item["img"].numpy()
                rows.append(_rows(item))
            else:
                self._read_pixels(index, pixels[place])
                count = int(self._numbers[index, 0])
                rows.append(self._numbers[index, 1 : 1 + 5 * count].reshape(count, 5))
        boxes = torch.from_numpy(np.concatenate(rows))
        places = np.repeat(
            np.arange(len(indices), dtype=np.float32), [len(found) for found in rows]
        )
        return {
            "img": images,
            "cls": boxes[:, :1].contiguous(),
            "bboxes": boxes[:, 1:].contiguous(),
            "batch_idx": torch.from_numpy(places),
        }

    def _read_pixels(self, index: int, into: NDArray[np.uint8]) -> None:
        """Read one image; from the file, as a mapping that is new pays for each of its pages."""
        at = self._layout.images_at + index * self._layout.image_bytes
        if not hasattr(os, "preadv") or (
            os.preadv(self._descriptor, [into.data], at) != into.nbytes
        ):
            into[...] = self._pixels[index]

    def put(self, index: int, item: Item) -> None:
        """Keep an image if it fits. A process that dies in here leaves it as not there."""
        count = len(item["cls"])
        if count > self._layout.boxes:
            return
        self._pixels[index] = item["img"].numpy()
        self._numbers[index, 1 : 1 + 5 * count] = _rows(item).ravel()
        self._numbers[index, 0] = count
        self._there[index] = 1

    def try_claim(self, index: int) -> bool:
        """Claim the making of an image, unless another process has; dying releases it."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, index)
        except OSError:
            return False
        return True

    def claim(self, index: int, *, within_s: float) -> bool:
        """Claim the making of an image; waits for the process that makes it, but not for ever.

        Returns:
            Whether it was claimed. Else the time is over, or the image came.
        """
        until, pause_s = time.monotonic() + within_s, _SHORTEST_S
        while not self.try_claim(index):
            if time.monotonic() >= until or (index < self._layout.images and self.has(index)):
                return False
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_S)
        return True

    def release(self, index: int) -> None:
        """Give a claim back."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, index)


def make(path: Path, layout: Layout) -> None:
    """Make the file of an epoch without images, whole or not at all.

    Not by `atomic_write`, which would wait for the disk: no later boot trusts the file.

    Raises:
        OSError: If the disk has no room for it.
    """
    part = path.with_suffix(PART)
    try:
        with part.open("wb") as file:
            _fill(file, layout.bytes)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _fill(file: BinaryIO, size: int) -> None:
    """Give a new file its size, and its room on the disk.

    A hole that the disk has no room for would end the process when it is written.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for start in range(0, size, _CHUNK):  # another system than Linux
        file.write(bytes(min(_CHUNK, size - start)))


def fewest_reads(path: Path, layout: Layout) -> int:
    """Return how often the image of an epoch's file was read that fewest trainings have read."""
    content = np.fromfile(path, np.uint8, count=4 * layout.images)
    return int(_counts(content, layout)[1].min())


def _counts(
    content: NDArray[np.uint8], layout: Layout
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Return, for each image, whether it is there and how many trainings have read it."""
    both = content[: 4 * layout.images].view(np.uint16)
    return both[: layout.images], both[layout.images :]


def _rows(item: Item) -> NDArray[np.float32]:
    """Return class and box of each object: n x 5."""
    rows: NDArray[np.float32] = np.concatenate([item["cls"].numpy(), item["bboxes"].numpy()], 1)
    return rows
