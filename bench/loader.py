"""Training images a second from Ultralytics' own loader and from the image cache, on one core.

    python bench/loader.py [--photos configs/datasets/bccd] [--repeats 5]

Photos of blood cells at 640 px with Ultralytics' default augmentation (mosaic and all), in batches
of 16, as the training gets them. The rows take turns; each prints its median, by the clock and by
the CPU time of the process, which other programs on the machine disturb less.
"""

import sys
from pathlib import Path

# Python puts this folder first, where `queue` would be a file of ours.
sys.path[0] = str(Path(__file__).parents[1])

import argparse
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from statistics import median
from typing import Any

os.environ["YOLO_VERBOSE"] = "false"  # no progress bars

import cv2
import torch
from ultralytics.cfg import get_cfg
from ultralytics.data.build import build_dataloader, build_yolo_dataset
from ultralytics.data.utils import check_det_dataset
from ultralytics.utils import LOGGER

from sweep.data.dataset_file import DatasetSpec
from sweep.data.prepare import prepare
from sweep.data.prepared import PreparedDataset
from sweep.training.contract import ImageCachePlace
from sweep.training.image_cache.augmented_images import (
    AugmentedImages,
    open_image_cache,
    read_packed,
    training_loader,
)

SIZE_PX, BATCH = 640, 16
EPOCHS = 2
"""In the stream; read in turn, so that the processor's cache helps no more than in earnest."""
Batches = Iterator[dict[str, Any]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).parents[1] / "configs/datasets/bccd"
    parser.add_argument("--photos", type=Path, default=default, help="with annotations.json")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", type=int, default=5, help="of a repeat of the slow rows")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    LOGGER.setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = prepared(arguments.photos.resolve(), folder)
        count = dataset.images_per_split["train"]
        live = ours(dataset, None)
        shared = ours(dataset, ImageCachePlace(folder=folder, disk_cap_gb=4, trainings=1000))
        for _ in range(EPOCHS * -(-count // BATCH)):  # make the images
            next(shared)
        rows: dict[str, tuple[Batches, int]] = {
            "Ultralytics, from files": (theirs(dataset, cache=False), arguments.batches),
            "Ultralytics, cache=ram": (theirs(dataset, cache="ram"), arguments.batches),
            "made here, from packed images": (live, arguments.batches),
            "read from the stream": (reread(dataset, folder), 20 * arguments.batches),
        }
        rates = measure(rows, arguments.repeats)
    print(
        f"{count} photos at {SIZE_PX} px, batches of {BATCH}, one core, {arguments.repeats} turns"
    )
    print(f"{'images a second':34}{'by the clock':>14}{'by CPU time':>14}")
    for row, found in rates.items():
        print(
            f"{row:34}" + "".join(f"{median(column):14.0f}" for column in zip(*found, strict=True))
        )
    stream, files = rates["read from the stream"], rates["Ultralytics, from files"]
    ratios = [
        median(read[kind] / made[kind] for read, made in zip(stream, files, strict=True))
        for kind in (0, 1)
    ]
    print(f"{'stream to files, of each turn':34}" + "".join(f"{ratio:14.1f}" for ratio in ratios))


def measure(
    rows: dict[str, tuple[Batches, int]], repeats: int
) -> dict[str, list[tuple[float, float]]]:
    """Return images a second by the clock and by CPU time, of every row in every turn."""
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
    for turn in range(repeats + 1):
        for name, (batches, count) in rows.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            images = sum(len(batch["img"]) for batch in islice(batches, count))
            seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
            if turn:  # the first one warms up
                rates[name].append((images / seconds, images / cpu_s))
    return rates


def prepared(photos: Path, folder: Path) -> PreparedDataset:
    """Prepare all photos, most of them for training."""
    file = folder / "photos.yaml"
    source = {"coco": str(photos / "annotations.json"), "images": str(photos / "images")}
    split = {"train": 0.9, "val": 0.05, "test": 0.05}
    file.write_text(
        json.dumps({"name": "photos", "source": source, "size": SIZE_PX, "split": split})
    )
    return prepare(DatasetSpec.load(file), folder)


def images_of(dataset: PreparedDataset, hyp: Any) -> Any:
    """Return Ultralytics' dataset of the training split."""
    data = check_det_dataset(str(dataset.data_yaml), autodownload=False)
    return build_yolo_dataset(hyp, data["train"], BATCH, data, mode="train")


def settings(dataset: PreparedDataset, **changes: Any) -> Any:
    """Return Ultralytics' settings of a training."""
    return get_cfg(overrides={"data": str(dataset.data_yaml), "imgsz": SIZE_PX, **changes})


def endless(loader: Callable[[], Any]) -> Batches:
    """Yield the batches of one epoch after the other."""
    batches = loader()
    while True:
        yield from batches


def theirs(dataset: PreparedDataset, *, cache: bool | str) -> Batches:
    """Yield batches of Ultralytics' own loader."""
    images = images_of(dataset, settings(dataset, cache=cache))
    return endless(lambda: build_dataloader(images, BATCH, workers=0, shuffle=True, device="cpu"))


def ours(dataset: PreparedDataset, place: ImageCachePlace | None) -> Batches:
    """Yield batches of our loader, with a stream at `place`."""
    return endless(lambda: loader_of(dataset, place))


def reread(dataset: PreparedDataset, folder: Path) -> Batches:
    """Yield batches of the first epochs again and again, each time as another training would."""
    place = ImageCachePlace(folder=folder, disk_cap_gb=4, trainings=1000)
    loader = loader_of(dataset, place)
    while True:
        loader.dataset.close()
        loader.reset()
        loader.sampler.next_epoch = 0
        for _ in range(EPOCHS):
            yield from loader


def loader_of(dataset: PreparedDataset, place: ImageCachePlace | None) -> Any:
    """Return the loader of a training."""
    hyp = settings(dataset)
    plain = images_of(dataset, hyp)
    read_packed(plain, dataset)
    stream = place and open_image_cache(place, plain, hyp, seed=0, fingerprint=dataset.fingerprint)
    images = AugmentedImages(plain, hyp, seed=0, mosaic_closes_at=EPOCHS, image_cache=stream)
    return training_loader(images, seed=0, batch=BATCH, processes=0, device=torch.device("cpu"))


if __name__ == "__main__":
    main()
