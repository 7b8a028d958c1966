"""The attack of `tests.crash.attack`, smaller than by hand."""

from pathlib import Path

import pytest

from tests.crash.attack import attack


@pytest.mark.slow
def test_every_slot_is_settled_once_whatever_is_killed(storage_url: str, tmp_path: Path) -> None:
    attack(storage_url, tmp_path, processes=8, budget=300, kills=15, seed=0)
