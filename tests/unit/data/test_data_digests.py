import os
from pathlib import Path

import pytest

from sweep.data.packing.digests import CACHE, digest_of, digests_of
from sweep.data.reading.source import SourceImage

HOUR_NS = 3600 * 10**9


def image(path: Path, reads: list[Path]) -> SourceImage:
    def read() -> bytes:
        reads.append(path)
        return path.read_bytes()

    return SourceImage(name=path.name, width=1, height=1, boxes=(), read=read, path=path)


def known_for(path: Path, data: bytes, out: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Have the digest of a new file remembered, as if it had been there for an hour."""
    reads: list[Path] = []
    path.write_bytes(data)
    later = path.stat().st_ctime_ns + HOUR_NS
    monkeypatch.setattr("sweep.data.packing.digests.time.time_ns", lambda: later)
    assert digests_of([image(path, reads)], out) == [digest_of(data)]
    return reads


def test_an_unchanged_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = tmp_path / "a.jpg", tmp_path / "out"
    reads = known_for(path, b"one", out, monkeypatch)
    assert digests_of([image(path, reads)], out) == [digest_of(b"one")]
    assert reads == [path]


def test_a_changed_file_is_read_again_even_if_size_and_time_are_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "a.jpg", tmp_path / "out"
    reads = known_for(path, b"one", out, monkeypatch)
    before = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digests_of([image(path, reads)], out) == [digest_of(b"two")]


def test_a_file_that_changed_just_now_is_not_remembered(tmp_path: Path) -> None:
    path, out, reads = tmp_path / "a.jpg", tmp_path / "out", list[Path]()
    path.write_bytes(b"one")
    for _ in range(2):
        digests_of([image(path, reads)], out)
    assert reads == [path, path]


def test_a_damaged_cache_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = tmp_path / "a.jpg", tmp_path / "out"
    reads = known_for(path, b"one", out, monkeypatch)
    for text in ("", "[]", '{"a": 1}', "{"):
        (out / CACHE).write_text(text)
        assert digests_of([image(path, reads)], out) == [digest_of(b"one")]
