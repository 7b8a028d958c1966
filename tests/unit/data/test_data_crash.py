"""Killed at any moment and run again: the same bytes as without the kill."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sweep.data.packing.digests import CACHE
from sweep.data.reading.picture import encode_jpeg
from tests.web import Web, body, serving

COUNT = 12
KILLS = int(os.environ.get("PREPARE_KILLS", "8"))
"""Moments to die at, evenly spread; by hand many more: PREPARE_KILLS=1000 takes them all."""

_PREPARE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from sweep.data.dataset_file import DatasetSpec
from sweep.data.prepare import prepare

deadly, calls = int(sys.argv[3]), 0

def die(event, arguments):
    global calls
    if event in {"open", "os.rename", "os.mkdir", "os.remove", "os.truncate"}:
        if str(arguments[0]).startswith(sys.argv[4]):
            calls += 1
            if calls == deadly:
                os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
prepare(DatasetSpec.load(Path(sys.argv[1])), Path(sys.argv[2]))
print(calls)
"""
"""Dies at the n-th time that it opens, renames, makes or removes something below a folder."""


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as web:
        for index in range(COUNT):
            noise = np.random.default_rng(index).integers(0, 256, (60, 80, 3), np.uint8)
            web.answers[f"/{index}.jpg"] = body(encode_jpeg(noise))
        yield web


def write_dataset(folder: Path, web: Web) -> Path:
    folder.mkdir()
    document = {
        "images": [
            {"id": index, "file_name": f"{index}.jpg", "width": 80, "height": 60}
            | {"flickr_url": f"{web.url}/{index}.jpg"}
            for index in range(COUNT)
        ],
        "annotations": [
            {"id": 0, "image_id": index, "category_id": 0, "bbox": [8, 6, 90, 30]}
            for index in range(COUNT)
        ],
        "categories": [{"id": 0, "name": "cell"}],
    }
    (folder / "a.json").write_text(json.dumps(document))
    (folder / "photos.yaml").write_text(
        "name: photos\n"
        "source: {coco: a.json, images: images, download: flickr_url}\n"
        "size: 96\n"
        "split: {train: 0.5, val: 0.25, test: 0.25}\n"
    )
    return folder / "photos.yaml"


def prepare(file: Path, deadly: int) -> int:
    """Prepare and die; 0 lives, and the number of moments to die at is returned."""
    folder = file.parent
    done = subprocess.run(
        [sys.executable, "-c", _PREPARE_AND_DIE, file, folder / "out", str(deadly), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (-signal.SIGKILL if deadly else 0), done.stderr
    return 0 if deadly else int(done.stdout)


def contents(out: Path) -> dict[str, bytes]:
    """Return every file that is there, but for locks and what is remembered of digests."""
    return {
        str(file.relative_to(out)): file.read_bytes()
        for file in out.rglob("*")
        if file.is_file() and file.name not in {".lock", CACHE}
    }


@pytest.mark.slow
def test_a_kill_at_any_moment_changes_no_byte(tmp_path: Path, web: Web) -> None:
    whole = write_dataset(tmp_path / "whole", web)
    moments = prepare(whole, 0)
    expected = contents(whole.parent / "out")
    for deadly in sorted({1 + step * moments // KILLS for step in range(KILLS)}):
        file = write_dataset(tmp_path / str(deadly), web)
        web.asked.clear()
        prepare(file, deadly)
        names = {path.name for path in (file.parent / "out").glob("photos-*")}
        if names:  # killed after the last rename
            assert contents(file.parent / "out") == expected
        had = {path.name for path in (file.parent / "images").glob("[0-9]*.jpg")}
        web.asked.clear()
        prepare(file, 0)
        assert contents(file.parent / "out") == expected
        assert set(web.asked) == {f"/{index}.jpg" for index in range(COUNT)} - {
            f"/{name}" for name in had
        }
