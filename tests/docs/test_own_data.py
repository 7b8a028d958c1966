"""The README's way from a folder of one's own to a report."""

import re
from pathlib import Path

import pytest

from sweep.submission.estimate import estimate
from tests.command import Command
from tests.datasets import make_export

README = Path(__file__).parents[2] / "README.md"


def sweep_file() -> str:
    """Return what the README's first command writes."""
    section = README.read_text().partition("## Your own data")[2].partition("\n## ")[0]
    found = re.search(r"<<'END'\n(.+?)\nEND\nsweep run mine.yaml", section, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_sweep_file_fits_an_export(tmp_path: Path) -> None:
    make_export(tmp_path / "hard-hats")
    (tmp_path / "mine.yaml").write_text(sweep_file())
    found = estimate(tmp_path / "mine.yaml")
    assert found.dataset is not None
    assert (found.dataset.images, found.epochs) == (9, {"search": 20, "retrain": 100})


@pytest.mark.slow
def test_two_commands_lead_to_a_report(sweep: Command) -> None:
    make_export(sweep.folder / "hard-hats")
    trainer = "trainer: sweep.testing:instant_trainer\n"  # else it would train for an hour
    (sweep.folder / "mine.yaml").write_text(trainer + sweep_file())
    done = sweep("run", "mine.yaml", "--workers", "1")
    assert done.code == 0, done.err
    assert "hard-hats" in (sweep.folder / "reports" / "mine" / "report.html").read_text()
