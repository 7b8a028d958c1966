"""What folders take on the disk, counted in bounded time."""

import itertools
from pathlib import Path

from sweep.files.disk_use import DiskUse, disk_use


def test_files_are_counted_once_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(b"x" * 10)
    (tmp_path / "a" / "b" / "two").write_bytes(b"x" * 20)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "three").write_bytes(b"x" * 40)
    (tmp_path / "a" / "link").symlink_to(tmp_path / "other")
    link = (tmp_path / "a" / "link").lstat().st_size
    found = disk_use([tmp_path / "a", tmp_path / "other" / "three", tmp_path / "no"], limit_s=60)
    assert found == DiskUse(bytes=70 + link, files=4)


def test_it_stops_when_the_time_is_over(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / str(number)).write_bytes(b"x" * 10)
    seconds = itertools.count()
    found = disk_use([tmp_path], limit_s=5, clock=lambda: next(seconds))
    assert found == DiskUse(bytes=50, files=5, complete=False)
