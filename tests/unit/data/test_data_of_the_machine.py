"""What the machine could not do for a moment takes no image and no label out of a dataset."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import pytest

from sweep.data.dataset_file import DatasetSpec
from sweep.data.prepare import prepare
from sweep.data.reading import picture
from sweep.data.reading.file_names import FileNames
from sweep.data.reading.picture import Picture, PictureError, upright_size
from sweep.errors import SweepError
from tests.datasets import make_photos


@pytest.fixture
def photos(tmp_path: Path) -> DatasetSpec:
    return make_photos(tmp_path, damaged="leave out")


def first_photo(folder: Path) -> Path:
    return min(folder.rglob("*.jpg"))


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EIO, "Input/output error")])
@pytest.mark.usefixtures("photos")
def test_a_photo_is_not_damaged_because_it_could_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_: BinaryIO) -> Any:
        raise error

    monkeypatch.setattr(picture, "_READERS", {b"\xff\xd8\xff": fail})
    with pytest.raises(type(error)):
        upright_size(first_photo(tmp_path))
    monkeypatch.undo()
    with pytest.raises(PictureError):
        Picture.parse(first_photo(tmp_path).read_bytes()[:200])


def test_a_photo_is_not_left_out_because_memory_was_short(
    tmp_path: Path, photos: DatasetSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object) -> Any:
        error = cv2.error("OpenCV: Failed to allocate 12 bytes")
        error.code, error.err = cv2.Error.StsNoMem, "Failed to allocate 12 bytes"
        raise error

    monkeypatch.setattr(picture.cv2, "imdecode", no_memory)
    with pytest.raises(SweepError, match=r"\.jpg: memory ran out while it was prepared"):
        prepare(photos, tmp_path / "out")
    assert not list((tmp_path / "out").glob("[!.]*/"))
    monkeypatch.undo()
    assert prepare(photos, tmp_path / "out").path.is_dir()


def test_a_folder_that_cannot_be_listed_now_is_not_taken_for_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = FileNames.on_disk(tmp_path)

    def listdir(_: object) -> Iterator[str]:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "listdir", listdir)
    with pytest.raises(SweepError, match=r"cannot be listed now \(Too many open files\)"):
        names.find("a.jpg")


def test_what_is_prepared_may_go_where_a_name_is_no_text(
    tmp_path: Path, photos: DatasetSpec
) -> None:
    """In a process of its own: what C libraries make of such a name may end one."""
    plain, odd = tmp_path / "out", tmp_path / "\udcff"
    expected = prepare(photos, plain)
    prepare_there = (
        "import sys; from pathlib import Path; from sweep.data.dataset_file import DatasetSpec; "
        "from sweep.data.prepare import prepare; "
        "prepare(DatasetSpec.load(Path(sys.argv[1])), Path(sys.argv[2]))"
    )
    file = next(tmp_path.glob("*.yaml"))
    subprocess.run([sys.executable, "-c", prepare_there, file, odd], check=True)
    assert contents(odd) == contents(plain)
    assert any(name.endswith(".npy") for name in contents(plain))
    assert expected.preview.relative_to(plain).as_posix() in contents(odd)


def contents(folder: Path) -> dict[str, bytes]:
    """Read the files of a folder; but the hidden ones, which remember what was read, and when."""
    files = (file for file in folder.rglob("[!.]*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}
