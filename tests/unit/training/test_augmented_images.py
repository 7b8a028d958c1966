"""Augmented images: a function of (seed, epoch, index), distributed as Ultralytics' own."""

import math
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweep.data.dataset_file import DatasetSpec
from sweep.data.prepare import prepare
from sweep.data.prepared import PreparedDataset

pytestmark = pytest.mark.slow

MANY = """
name: many
source: {synthetic: shapes, images: 100}
size: 64
split: {train: 0.8, val: 0.1, test: 0.1, seed: 0}
"""
Item = dict[str, Any]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """Some 80 images to train on, 64 px each."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "many.yaml").write_text(MANY)
    return prepare(DatasetSpec.load(folder / "many.yaml"), folder)


def settings(dataset: PreparedDataset, **changed: Any) -> Any:
    from ultralytics.cfg import get_cfg

    return get_cfg(overrides={"data": str(dataset.data_yaml), "imgsz": 64, "batch": 8, **changed})


def of_ultralytics(dataset: PreparedDataset, hyp: Any) -> Any:
    from ultralytics.data.build import build_yolo_dataset
    from ultralytics.data.utils import check_det_dataset

    data = check_det_dataset(str(dataset.data_yaml), autodownload=False)
    return build_yolo_dataset(hyp, data["train"], hyp.batch, data, mode="train")


def ours(
    dataset: PreparedDataset,
    *,
    seed: int = 0,
    closes_at: int = 100,
    folder: Path | None = None,
    **changed: Any,
) -> Any:
    """Return our training images; with a cache in `folder` where there is one."""
    from sweep.training.contract import ImageCachePlace
    from sweep.training.image_cache.augmented_images import AugmentedImages, open_image_cache

    hyp = settings(dataset, **changed)
    images = of_ultralytics(dataset, hyp)
    cache = folder and open_image_cache(
        ImageCachePlace(folder=folder, disk_cap_gb=0.1, trainings=9),
        images,
        hyp,
        seed=seed,
        fingerprint=dataset.fingerprint,
    )
    return AugmentedImages(images, hyp, seed=seed, mosaic_closes_at=closes_at, image_cache=cache)


def same(one: Item, other: Item) -> bool:
    return all(bool((one[key] == other[key]).all()) for key in ("img", "cls", "bboxes"))


def epochs_of(images: Any, *, count: int, processes: int, first: int = 0) -> list[list[Item]]:
    """Return the batches of `count` epochs from a loader that starts at epoch `first`."""
    import torch

    from sweep.training.image_cache.augmented_images import training_loader

    loader = training_loader(
        images, seed=0, batch=8, processes=processes, device=torch.device("cpu")
    )
    loader.sampler.next_epoch = first
    try:
        return [list(loader) for _ in range(count)]
    finally:
        loader.close()


def test_an_image_depends_on_seed_epoch_and_index_alone(many: PreparedDataset) -> None:
    images = ours(many)
    first = images[0, 5]
    for place in ((1, 7), (0, 3), (2, 5)):
        assert not same(images[place], first)
    assert same(images[0, 5], first), "whatever the process did before"
    assert same(ours(many)[0, 5], first)
    assert not same(ours(many, seed=1)[0, 5], first)


def test_mosaic_closes_by_epoch(many: PreparedDataset) -> None:
    with_mosaic = ours(many, closes_at=100)
    closing = ours(many, closes_at=1)
    without = ours(many, closes_at=0)
    assert same(closing[0, 5], with_mosaic[0, 5])
    assert same(closing[1, 5], without[1, 5])
    assert not same(with_mosaic[1, 5], without[1, 5])


def test_loader_processes_and_the_epoch_of_a_restart_change_nothing(many: PreparedDataset) -> None:
    alone = epochs_of(ours(many), count=3, processes=0)
    helped = epochs_of(ours(many), count=3, processes=2)
    later = epochs_of(ours(many), count=2, processes=2, first=1)
    assert len(alone[0]) == math.ceil(many.images_per_split["train"] / 8)
    for one, other in ((alone, helped), (alone[1:], later)):
        for mine, theirs in zip(one, other, strict=True):
            assert all(map(same, mine, theirs))


def test_from_the_cache_come_the_same_images(many: PreparedDataset, tmp_path: Path) -> None:
    live = epochs_of(ours(many, closes_at=1), count=2, processes=0)
    made = ours(many, closes_at=1, folder=tmp_path)
    read = ours(many, closes_at=1, folder=tmp_path)
    for images, processes in ((made, 2), (read, 0)):
        for mine, theirs in zip(epochs_of(images, count=2, processes=processes), live, strict=True):
            assert all(map(same, mine, theirs))
            assert [batch["cls"].dtype for batch in mine] == [
                batch["cls"].dtype for batch in theirs
            ]
    assert (made.read_from_cache, read.read_from_cache) == (0, 2 * len(read))

    assert read.loaded == 2 * len(read)
    assert made.loaded >= 2 * len(read), "loader processes work ahead"

    for changed in ({"seed": 1}, {"hsv_h": 0.1}, {"closes_at": 0}, {"single_cls": True}):
        other = ours(many, **{"closes_at": 1, "folder": tmp_path, **changed})
        assert not same(epochs_of(other, count=1, processes=0)[0][0], live[0][0])
        assert other.read_from_cache == 0


def test_packed_images_are_read_where_they_have_the_size_to_train_with(
    many: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultralytics.data import base

    from sweep.training.image_cache.augmented_images import AugmentedImages, read_packed

    def packed(**changed: Any) -> Any:
        hyp = settings(many, **changed)
        images = of_ultralytics(many, hyp)
        read_packed(images, many)
        return AugmentedImages(images, hyp, seed=0, mosaic_closes_at=1)

    read: list[str] = []
    decode = base.imread
    monkeypatch.setattr(
        base, "imread", lambda file, **how: (read.append(file), decode(file, **how))[1]
    )
    decoded = ours(many, closes_at=1)
    places = [(epoch, index) for epoch in (0, 1) for index in range(20)]
    expected = [decoded[place] for place in places]
    assert read
    read.clear()
    images = packed()
    for _ in range(2):  # twice, as nothing may have changed in place
        assert all(same(images[place], item) for place, item in zip(places, expected, strict=True))
    sent = pickle.loads(pickle.dumps(images._images))  # to a loader process that was not forked
    assert np.array_equal(sent.load_image(3)[0], images._images.load_image(3)[0])
    assert not read
    assert packed(imgsz=96)[0, 0]["img"].shape == (3, 96, 96)
    assert read, "other sizes are decoded"


def test_for_a_gpu_processes_load_and_a_thread_pins(
    many: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from sweep.training.image_cache import augmented_images as images

    def loader(device: str) -> Any:
        return images.training_loader(
            ours(many), seed=0, batch=4, processes=8, device=torch.device(device)
        )

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(images.os, "cpu_count", lambda: 12)
    on_gpu, on_cpu = loader("cuda:0"), loader("cpu")
    assert (on_gpu.pin_memory, on_gpu.num_workers) == (True, 6), "every GPU has its cores"
    assert (on_cpu.pin_memory, on_cpu.num_workers) == (False, 8)


def per_image(items: Iterator[Item]) -> dict[str, list[float]]:
    """Return statistics of each image; those of boxes only of images that have some."""
    found: dict[str, list[float]] = {
        name: [] for name in ("brightness", "contrast", "count", "x", "y", "width", "height")
    }
    for item in items:
        pixels = item["img"].float()
        found["brightness"].append(float(pixels.mean()))
        found["contrast"].append(float(pixels.std()))
        found["count"].append(len(item["bboxes"]))
        if len(item["bboxes"]):
            for name, column in zip(("x", "y", "width", "height"), item["bboxes"].T, strict=True):
                found[name].append(float(column.mean()))
    return found


EPOCHS = 26  # of some 80 images: more than 2,000


def our_statistics(dataset: PreparedDataset, **changed: Any) -> dict[str, list[float]]:
    from sweep.training.image_cache.randomness import order

    images = ours(dataset, **changed)
    places = ((epoch, index) for epoch in range(EPOCHS) for index in order(0, epoch, len(images)))
    return per_image(images[place] for place in places)


def their_statistics(dataset: PreparedDataset, *, closed: bool = False) -> dict[str, list[float]]:
    from ultralytics.data.build import build_dataloader
    from ultralytics.utils.torch_utils import init_seeds

    init_seeds(1)
    images = of_ultralytics(dataset, settings(dataset))
    if closed:
        images.close_mosaic(settings(dataset))
    loader = build_dataloader(images, batch=1, workers=0, shuffle=True, device="cpu")
    return per_image(
        {"img": item["img"][0], "bboxes": item["bboxes"]} for _ in range(EPOCHS) for item in loader
    )


@pytest.mark.parametrize("closed", [False, True], ids=["mosaic", "mosaic closed"])
def test_augmented_images_are_distributed_as_those_of_ultralytics(
    many: PreparedDataset, closed: bool
) -> None:
    from scipy.stats import ks_2samp

    closes_at = 0 if closed else EPOCHS
    theirs = their_statistics(many, closed=closed)
    mine = our_statistics(many, closes_at=closes_at)
    assert len(mine["brightness"]) == len(theirs["brightness"]) >= 2000
    p = {name: ks_2samp(mine[name], theirs[name]).pvalue for name in mine}
    assert min(p.values()) > 0.05 / len(p), p


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no mosaic": ({"mosaic": 0.0}, "count"),
    "half the range of brightness": ({"hsv_v": 0.2}, "brightness"),
    "three times the shift": ({"translate": 0.3, "closes_at": 0}, "x"),
    "half the range of scale": ({"scale": 0.25}, "width"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_comparison_can_tell(many: PreparedDataset, wrong: str) -> None:
    from scipy.stats import ks_2samp

    changed, name = WRONG[wrong]
    theirs = their_statistics(many, closed="closes_at" in changed)
    mine = our_statistics(many, **changed)
    assert ks_2samp(mine[name], theirs[name]).pvalue < 1e-6


def test_every_order_is_whole_and_its_own() -> None:
    from sweep.training.image_cache.randomness import order

    orders = [order(seed, epoch, 50) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(indices) == list(range(50)) for indices in orders)
    assert len(set(map(tuple, orders))) == 4
    assert order(1, 1, 50) == orders[-1]


def test_every_purpose_and_place_has_its_own_numbers() -> None:
    import random

    import torch

    from sweep.training.image_cache.randomness import Purpose, reseed

    def draw(*place: Any) -> tuple[float, float, float]:
        reseed(*place)
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    places = [
        (purpose, seed, epoch, number)
        for purpose in Purpose
        for seed in (0, 1)
        for epoch in (0, 1)
        for number in (0, 1)
    ]
    drawn = [draw(*place) for place in places]
    for generator in range(3):
        assert len({numbers[generator] for numbers in drawn}) == len(places)
    assert draw(*places[3]) == drawn[3]
