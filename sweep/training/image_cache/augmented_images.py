"""The training images of an epoch: augmented as a function of (seed, epoch, index), and loaded."""

import hashlib
import json
import math
import os
from collections.abc import Iterator
from copy import copy
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import ultralytics
from torch.utils.data import Dataset, Sampler, get_worker_info
from ultralytics.data.build import InfiniteDataLoader
from ultralytics.data.dataset import YOLODataset

from sweep.data.packing.packed import PackedImages
from sweep.data.prepared import SPLITS, PreparedDataset
from sweep.data.reading.picture import Pixels
from sweep.training.contract import ImageCachePlace
from sweep.training.image_cache.augmentation import AUGMENTATION
from sweep.training.image_cache.cache import ImageCache
from sweep.training.image_cache.epoch_file import Batch, Item
from sweep.training.image_cache.randomness import Purpose, order, reseed

ImageKey = tuple[int, int]
"""Epoch and index of an image, both from 0."""

_DECODED_BYTES = 256 << 20
"""Memory of one process for decoded images that a mosaic may ask for again."""
_PREFETCHED_BATCHES = 4


class AugmentedImages(Dataset):  # type: ignore[misc]
    """Ultralytics' training images, augmented as it does, by (epoch, index).

    Mosaic takes its partners from all images. Ultralytics takes them from the images loaded last,
    which depend on the order and the age of the process; their distribution is the same.

    Args:
        images: The training split, built by Ultralytics.
        hyp: Its settings.
        seed: Of the trial.
        mosaic_closes_at: First epoch, from 0, without mosaic, mixup and cutmix.
        image_cache: Where to read images that another process made, and to leave those made here.
    """

    def __init__(
        self,
        images: YOLODataset,
        hyp: Any,
        *,
        seed: int,
        mosaic_closes_at: int,
        image_cache: ImageCache | None = None,
    ) -> None:
        self.labels = images.labels
        self.shuffled = not images.rect or bool(
            (images.batch_shapes == images.batch_shapes[0]).all()
        )
        self._images = images
        self._seed = seed
        self._mosaic_closes_at = mosaic_closes_at
        self._cache = image_cache
        # Shared with loader processes; each has a row of its own, so that nothing is lost.
        self._counts = torch.zeros((1 + (os.cpu_count() or 1), 2), dtype=torch.int64)
        self._counts.share_memory_()
        images.max_buffer_length = min(images.ni + 1, _DECODED_BYTES // (3 * images.imgsz**2))
        self._transforms = _transforms(images, hyp)
        self._closed_transforms = _transforms(images, hyp, mosaic=0.0, mixup=0.0, cutmix=0.0)

    def __len__(self) -> int:
        return int(self._images.ni)

    def __getitem__(self, key: ImageKey) -> Item:
        epoch, index = key
        reseed(Purpose.IMAGE, self._seed, epoch, index)
        transforms = self._closed_transforms if self._closed(epoch) else self._transforms
        augmented = transforms(self._images.get_image_and_label(index))
        return {name: augmented[name] for name in ("img", "cls", "bboxes", "batch_idx")}

    def __getitems__(self, keys: list[ImageKey]) -> Batch:
        """Return a batch; all its images are of one epoch."""
        batch, read = self._from_cache(keys)
        if batch is None:
            batch = self._images.collate_fn([self[key] for key in keys])
        worker = get_worker_info()
        row = self._counts[0 if worker is None else 1 + worker.id]
        row += torch.tensor([len(keys), read])
        return batch

    def _from_cache(self, keys: list[ImageKey]) -> tuple[Batch | None, int]:
        """Return a batch and how many of its images were read; None without cache or room."""
        epoch = keys[0][0]
        found = self._cache and self._cache.batch(
            f"{epoch}-closed" if self._closed(epoch) else f"{epoch}",
            [index for _, index in keys],
            lambda index: self[epoch, index],
        )
        return found or (None, 0)

    @property
    def loaded(self) -> int:
        """How many images were read or made."""
        return int(self._counts[:, 0].sum())

    @property
    def read_from_cache(self) -> int:
        """How many images were read, not made."""
        return int(self._counts[:, 1].sum())

    def close(self) -> None:
        """Leave the cache."""
        if self._cache is not None:
            self._cache.close()

    def _closed(self, epoch: int) -> bool:
        return epoch >= self._mosaic_closes_at


def read_packed(images: YOLODataset, dataset: PreparedDataset) -> None:
    """Let `images`, one of the splits, come from the packed array where it has their size.

    They are what Ultralytics would decode from the files, without the decoding.
    """
    folder = Path(images.im_files[0]).parent
    split = next((split for split in SPLITS if dataset.images(split) == folder), None)
    if split is None or images.cache is not None or not dataset.packed(split).exists():
        return
    packed = PackedImages(dataset, split)
    shape = packed.pixels.shape[1:3]
    if max(shape) != images.imgsz or packed.pixels.shape[3] != images.channels:
        return
    images.load_image = _FromPacked(
        packed, [packed.index_of(Path(file).name) for file in images.im_files]
    )


class _FromPacked:
    """Stands for `YOLODataset.load_image`; goes along to loader processes."""

    def __init__(self, packed: PackedImages, rows: list[int]) -> None:
        self._packed = packed
        self._rows = rows

    def __call__(self, index: int, *_: Any, **__: Any) -> tuple[Pixels, Any, Any]:
        # A copy, because some augmentations work in place.
        image = np.array(self._packed[self._rows[index]])
        return image, image.shape[:2], image.shape[:2]


def open_image_cache(
    place: ImageCachePlace | None, images: YOLODataset, hyp: Any, *, seed: int, fingerprint: str
) -> ImageCache | None:
    """Return the cache of all trainings with these images; None if its files cannot hold them.

    Args:
        place: Where the host keeps its caches; None where nothing is shared.
        images: The training split, built by Ultralytics.
        hyp: Its settings.
        seed: Of the trial.
        fingerprint: Of the dataset.
    """
    if place is None or images.rect or images.channels != 3:
        return None
    deciding = {
        "settings": {name: getattr(hyp, name, None) for name in AUGMENTATION},
        "seed": seed,
        "dataset": fingerprint,
        "versions": [
            *(ultralytics.__version__, cv2.__version__, np.__version__),
            # Ultralytics uses it where it is, and seeds it from torch's seed for every image.
            version("albumentations") if find_spec("albumentations") else None,
        ],
    }
    key = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()
    most = sum(sorted(len(label["cls"]) for label in images.labels)[-4:])
    return ImageCache(
        place,
        key[:24],
        images=images.ni,
        size_px=images.imgsz,
        boxes=2 * most if hyp.mixup or hyp.cutmix else most,
    )


def _transforms(images: YOLODataset, hyp: Any, **changed: float) -> Any:
    """Build Ultralytics' augmentation as for images in memory: mosaic draws from all of them."""
    settings = copy(hyp)
    vars(settings).update(changed)
    cache, images.cache = images.cache, "ram"
    try:
        return images.build_transforms(settings)
    finally:
        images.cache = cache


class EpochSampler(Sampler):  # type: ignore[misc]
    """The images of one epoch after the other; each iteration is the next epoch.

    The epoch travels with the index, because loader processes work ahead of the training.
    """

    def __init__(self, images: AugmentedImages, *, seed: int) -> None:
        self.next_epoch = 0
        self._images = images
        self._seed = seed

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[ImageKey]:
        epoch, self.next_epoch = self.next_epoch, self.next_epoch + 1
        count = len(self._images)
        indices = order(self._seed, epoch, count) if self._images.shuffled else range(count)
        return ((epoch, index) for index in indices)


def _as_it_is(batch: Batch) -> Batch:
    """Take over a batch that the dataset put together."""
    return batch


def training_loader(
    images: AugmentedImages, *, seed: int, batch: int, processes: int, device: torch.device
) -> InfiniteDataLoader:
    """Return a loader of one epoch after the other.

    Args:
        images: What to load.
        seed: Of the trial.
        batch: Images in a batch; the last one of an epoch may have fewer.
        processes: How many may load; as in Ultralytics, no more than cores for each GPU.
        device: What trains.
    """
    batch = min(batch, len(images))
    batches = math.ceil(len(images) / batch)
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    cores = (os.cpu_count() or 1) // max(gpus, 1)
    processes = min(cores, processes, batches if batches > 1 else 0)
    return InfiniteDataLoader(
        dataset=images,
        batch_size=batch,
        sampler=EpochSampler(images, seed=seed),
        num_workers=processes,
        prefetch_factor=_PREFETCHED_BATCHES if processes else None,
        pin_memory=gpus > 0,
        collate_fn=_as_it_is,
    )
