"""Files that are whole or not there."""

from pathlib import Path

import pytest

from sweep.files.atomic_write import atomic_write, write_json


def test_a_file_takes_the_place_of_the_one_before_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("before")
    with atomic_write(path) as first, atomic_write(path) as second:  # as two processes may
        first.write(b"first")
        second.write(b"second")
        assert path.read_text() == "before"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("before")

    def fail() -> None:
        with atomic_write(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_are_those_asked_for_whatever_a_killed_process_left(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {}, mode=0o600)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "part").write_text("more than is written now")
    with atomic_write(tmp_path / "b", part=tmp_path / "part", mode=0o600) as file:
        file.write(b"new")
    assert (tmp_path / "b").read_text() == "new"
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600
