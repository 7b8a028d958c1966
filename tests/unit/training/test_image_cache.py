"""The image cache: shared by processes that start at once, die, and run out of room."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

IMAGES, SIZE, BOXES = 12, 32, 4
EPOCH_BYTES = 4096 + 3 * SIZE**2 * IMAGES + (1 + 5 * BOXES) * 4 * IMAGES
Make = Callable[[int], dict[str, Any]]


def image(index: int) -> dict[str, Any]:
    """Make an image; some have no box, the last one more than the cache keeps."""
    import torch

    generator = torch.Generator().manual_seed(index)
    count = BOXES + 1 if index == IMAGES - 1 else index % (BOXES + 1)
    return {
        "img": torch.randint(0, 256, (3, SIZE, SIZE), generator=generator, dtype=torch.uint8),
        "cls": torch.rand((count, 1), generator=generator),
        "bboxes": torch.rand((count, 4), generator=generator),
        "batch_idx": torch.zeros(count),
    }


def cache(folder: Path, key: str = "key", *, epochs: float = 10, trainings: int = 100) -> Any:
    from sweep.training.contract import ImageCachePlace
    from sweep.training.image_cache.cache import ImageCache

    place = ImageCachePlace(
        folder=folder, disk_cap_gb=epochs * EPOCH_BYTES / 1e9, trainings=trainings
    )
    return ImageCache(place, key, images=IMAGES, size_px=SIZE, boxes=BOXES)


def kept(folder: Path) -> list[str]:
    """List the epochs in a folder as `key-epoch`."""
    return sorted(path.stem.split("-", 2)[2] for path in folder.glob("*.images"))


def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Put a batch together as Ultralytics does."""
    from ultralytics.data.dataset import YOLODataset

    return YOLODataset.collate_fn(items)


def read_all(cache: Any, epoch: str = "0", make: Make = image) -> int:
    """Read an epoch in batches of four, check every one, return how many images were not made.

    Where there is no room, none is read.
    """
    import torch

    read = 0
    for start in range(0, IMAGES, 4):
        indices = [start + place for place in (2, 0, 3, 1)]
        found = cache.batch(epoch, indices, make)
        if found is None:
            continue
        batch, ready = found
        read += ready
        expected = collate([image(index) for index in indices])
        assert batch.keys() == expected.keys()
        for name, tensor in expected.items():
            assert batch[name].dtype == tensor.dtype
            assert torch.equal(batch[name], tensor)
    return read


def in_process(target: Callable[..., None], *args: Any) -> Any:
    process = multiprocessing.get_context("fork").Process(target=target, args=args)
    process.start()
    return process


def test_an_image_is_made_once_and_read_by_others(tmp_path: Path) -> None:
    assert read_all(cache(tmp_path)) == 0
    assert read_all(cache(tmp_path)) == IMAGES - 1, "all but the one with too many boxes"
    assert read_all(cache(tmp_path), epoch="1") == 0
    assert read_all(cache(tmp_path, "another")) == 0


def test_many_that_start_at_once_make_each_image_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, made = context.Barrier(4), context.Queue()

    def work() -> None:
        mine: list[int] = []
        start.wait()
        read_all(cache(tmp_path), make=lambda index: (mine.append(index), image(index))[1])
        made.put(mine)

    processes = [in_process(work) for _ in range(4)]
    lists = [made.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    shared = sorted(index for mine in lists for index in mine if index != IMAGES - 1)
    assert shared == list(range(IMAGES - 1))


def test_a_writer_that_is_killed_costs_its_image_and_no_more(tmp_path: Path) -> None:
    def die(index: int) -> dict[str, Any]:
        if index == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return image(index)

    process = in_process(lambda: read_all(cache(tmp_path), make=die))
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert read_all(cache(tmp_path)) == 4, "the second batch asks for 6 first"


def stops(act: Callable[[], None]) -> Any:
    """Run a process that does something and is stopped amid it; return it then."""
    process = in_process(act)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    return process


@contextmanager
def stopped_while(act: Callable[[], None]) -> Iterator[None]:
    """Have a process stopped amid something in this block; it must come to its end after it."""
    process = stops(act)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)
        _, status = os.waitpid(process.pid, 0)
    assert status == 0


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def test_an_image_whose_maker_is_stopped_is_made_by_others_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stop_at_6(index: int) -> dict[str, Any]:
        if index == 6:
            stop()
        return image(index)

    from sweep.training.image_cache import cache as cache_module

    monkeypatch.setattr(cache_module, "CLAIM_S", 0.1)
    with stopped_while(lambda: (read_all(cache(tmp_path), make=stop_at_6), None)[1]):
        assert read_all(cache(tmp_path)) == 4, "the second batch asks for 6 first"
        assert "image 6 is made here, too" in caplog.text
        assert read_all(cache(tmp_path)) == IMAGES - 1, "it is there, for all others"
    assert read_all(cache(tmp_path)) == IMAGES - 1


def test_who_counts_does_not_wait_for_one_that_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sweep.training.image_cache import epoch_file

    read_all(cache(tmp_path))

    def count_and_stop() -> None:
        counting = cache(tmp_path)
        counting.batch("0", [0], image)
        assert counting._file.try_claim(IMAGES)
        stop()

    monkeypatch.setattr(epoch_file, "COUNTING_S", 0.1)
    with stopped_while(count_and_stop):
        assert read_all(cache(tmp_path)) == IMAGES - 1


def test_a_cache_whose_lock_is_held_by_one_that_is_stopped_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from sweep.files.lock import lock
    from sweep.training.image_cache import cache as cache_module

    def hold_and_stop() -> None:
        with lock(tmp_path / "lock", within_s=60):
            stop()

    monkeypatch.setattr(cache_module, "LOCK_S", 0.1)
    without = cache(tmp_path)
    with stopped_while(hold_and_stop):
        assert without.batch("0", [0], image) is None
        assert caplog.text.count("no images are shared any more") == 1
        assert without.batch("1", [0], image) is None, "without a wait in each epoch"
        without.close()
    assert caplog.text.count("no images are shared any more") == 1
    assert read_all(cache(tmp_path)) == 0


def test_a_maker_that_fails_gives_its_claim_back(tmp_path: Path) -> None:
    def fail(index: int) -> dict[str, Any]:
        raise FileNotFoundError(f"image {index}")

    first = cache(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_all(first, make=fail)
    other = in_process(lambda: read_all(cache(tmp_path)))
    other.join()
    assert other.exitcode == 0


def test_without_room_there_is_no_batch(tmp_path: Path) -> None:
    small = cache(tmp_path, epochs=1.5)
    assert read_all(small, epoch="0") == 0
    assert small.batch("1", [0, 1], image) is None
    assert read_all(small, epoch="0") == IMAGES - 1, "an epoch of the same cache is not evicted"
    assert small.batch("1", [0, 1], image) is None
    assert cache(tmp_path / "none", epochs=0).batch("0", [0], image) is None


def test_what_all_trainings_have_read_makes_room(tmp_path: Path) -> None:
    first, second = (cache(tmp_path, epochs=1.5, trainings=2) for _ in range(2))
    assert read_all(first, epoch="0") == 0
    assert first.batch("1", [0], image) is None
    assert read_all(second, epoch="0") == IMAGES - 1
    assert read_all(second, epoch="1") == 0
    assert kept(tmp_path) == ["key-1"]
    first.close()
    assert kept(tmp_path) == ["key-1"]
    assert read_all(first, epoch="1") == IMAGES - 1
    first.close()
    assert kept(tmp_path) == []


def test_trainings_side_by_side_are_all_counted(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Barrier(4)

    def work() -> None:
        mine = cache(tmp_path, trainings=4 * 200)
        start.wait()
        for _ in range(200):
            mine.batch("0", list(range(IMAGES)), image)
        mine.close()

    processes = [in_process(work) for _ in range(4)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert kept(tmp_path) == []


def test_half_read_is_not_read(tmp_path: Path) -> None:
    first, second = (cache(tmp_path, trainings=2) for _ in range(2))
    read_all(first)
    second.batch("0", list(range(IMAGES - 1)), image)
    second.close()
    assert kept(tmp_path) == ["key-0"]


def test_what_was_forgotten_goes_when_room_is_made(tmp_path: Path) -> None:
    read_all(cache(tmp_path, "old"))
    (path,) = tmp_path.glob("*.images")
    two_days_ago = time.time() - 2 * 86400
    os.utime(path, (two_days_ago, two_days_ago))
    read_all(cache(tmp_path, "new"))
    assert kept(tmp_path) == ["new-0"]


def test_the_least_recently_used_epoch_of_other_caches_goes(tmp_path: Path) -> None:
    old = cache(tmp_path, "old")
    for epoch, seconds_ago in (("0", 100), ("1", 200)):
        read_all(old, epoch=epoch)
        (path,) = tmp_path.glob(f"*-old-{epoch}.images")
        os.utime(path, (time.time() - seconds_ago, time.time() - seconds_ago))
    assert read_all(cache(tmp_path, "new", epochs=2.5)) == 0
    assert kept(tmp_path) == ["new-0", "old-0"]


def test_evicted_half_way_nothing_changes(tmp_path: Path) -> None:
    reading = cache(tmp_path)
    reading.batch("0", [0, 1], image)
    for path in tmp_path.glob("*.images"):
        path.unlink()
    assert read_all(reading) == 2, "an open epoch stays as it is"
    assert read_all(cache(tmp_path)) == 0


def test_what_another_boot_or_a_dead_maker_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    for name in ("0123456789ab-2-key-0.images", "half.images-part"):
        (tmp_path / name).write_bytes(bytes(EPOCH_BYTES))
    assert read_all(cache(tmp_path, epochs=1.5)) == 0
    assert read_all(cache(tmp_path)) == IMAGES - 1
    left = {path.name for path in tmp_path.iterdir()} - {"photo.jpg", "lock"}
    assert len(left) == len(kept(tmp_path)) == 1
    assert (tmp_path / "photo.jpg").exists(), "a file of somebody else"


def test_a_file_of_another_size_is_not_read(tmp_path: Path) -> None:
    read_all(cache(tmp_path))
    (path,) = tmp_path.glob("*.images")
    os.truncate(path, 5000)
    assert cache(tmp_path).batch("0", [0], image) is None
    assert read_all(cache(tmp_path), epoch="1") == 0
    assert kept(tmp_path) == ["key-1"]


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    without = cache(tmp_path / "file" / "folder")
    assert without.batch("0", [0], image) is None
    without.close()
