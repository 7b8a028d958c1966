"""A part of `python -m tests.fuzz`."""

from pathlib import Path

from tests.fuzz import fuzz


def test_wrong_arguments_and_files_end_in_one_line(tmp_path: Path) -> None:
    assert fuzz(40, seed=0, folder=tmp_path).faults == []
