"""Decoded images of a split as one array on disk, so that trainings read without decoding.

The array is memory-mapped: however many processes read it, memory holds one copy of it (the page
cache), and none of it has to be held at all.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweep.data.prepared import PreparedDataset, Split
from sweep.data.reading.picture import Pixels, read_pixels
from sweep.errors import InputError
from sweep.files.atomic_write import atomic_write, write_file


class PackedImages:
    """The images of one split, in the order of their ids: what `cv2.imread` makes of each file.

    Cheap to open and to hand to other processes, which map the same memory.

    Args:
        dataset: A prepared dataset.
        split: One of its splits.

    Raises:
        InputError: If the split is not packed, because its images differ in size.
    """

    pixels: NDArray[np.uint8]
    """Shape (images, height, width, 3), blue-green-red, read-only."""
    names: tuple[str, ...]
    """File name of each image in `dataset.images(split)`."""

    def __init__(self, dataset: PreparedDataset, split: Split) -> None:
        self._arguments = (dataset, split)
        path = dataset.packed(split)
        try:
            self.pixels = np.load(path, mmap_mode="r", allow_pickle=False)
            names = path.with_suffix(".txt").read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise InputError(
                f"{path}: missing: images of different sizes are not packed; give the dataset "
                "file a `size`"
            ) from error
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: damaged ({error}); delete the folder, prepare it") from error
        self.names = tuple(names.splitlines())
        self._index = {name: index for index, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Pixels:
        """Return one image without copying it: shape (height, width, 3), read-only."""
        image: Pixels = self.pixels[index]
        return image

    def index_of(self, name: str) -> int:
        """Return the index of the image whose file has this name; KeyError if there is none."""
        return self._index[name]

    def __reduce__(self) -> tuple[type["PackedImages"], tuple[PreparedDataset, Split]]:
        return PackedImages, self._arguments


def pack(images: Path, names: Sequence[str], array: Path, shape: tuple[int, int]) -> None:
    """Decode files of one size into a new `array` and write their names beside it.

    Args:
        images: Folder of the files.
        names: Their names, in the order of the array.
        array: A new `.npy` file.
        shape: Height and width of every image, px.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(names), *shape, 3)}
    with atomic_write(array) as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.flush()
        start, descriptor = file.tell(), file.fileno()
        image_bytes = shape[0] * shape[1] * 3
        os.truncate(descriptor, start + len(names) * image_bytes)

        # Written, not mapped: pages of a mapping would count as this process's memory.
        def write(index: int) -> None:
            pixels = read_pixels(images / names[index])
            if pixels.shape[:2] != shape:
                raise OSError(f"{names[index]} was damaged while it was being packed")
            _write_at(descriptor, pixels.tobytes(), start + index * image_bytes)

        with ThreadPoolExecutor() as pool:
            list(pool.map(write, range(len(names))))
    write_file(array.with_suffix(".txt"), "".join(f"{name}\n" for name in names).encode())


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(descriptor, left, offset)
        left, offset = left[written:], offset + written
