"""A disk that fills up during a training: workers wait for room, and no trial fails."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import Command
from tests.crash.workers import EPOCHS, complete_epochs, heard, read, started_worker, sweep_file

pytestmark = pytest.mark.slow

WRITER = """
from pathlib import Path
from sweep.testing import instant_trainer

def train(job, on_epoch):
    if Path("fill").exists():
        with Path("ballast").open("wb", buffering=0) as filling:
            while True:
                filling.write(bytes(4096))
    (job.run_folder / "state.ckpt").write_bytes(bytes(200_000))
    return instant_trainer(job, on_epoch)
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_makes_workers_wait_and_fails_no_trial(
    tmp_path: Path, small_disk: Path
) -> None:
    sweep, url = Command(small_disk), f"sqlite:///{tmp_path / 'sweep.db'}"
    (small_disk / "writer.py").write_text(WRITER)
    file = sweep.write("one.yaml", sweep_file(trainer="writer:train", train={}))
    assert sweep("submit", file, "--storage", url).code == 0
    (small_disk / "fill").touch()
    worker = started_worker(sweep, url, "--drain")
    heard(worker, "no room left")
    (small_disk / "fill").unlink()
    (small_disk / "ballast").unlink()
    out, err = worker.communicate()
    assert worker.returncode == 0, (out, err)
    record = read(url)
    assert complete_epochs(record) == [list(range(1, EPOCHS + 1))] * 4
    assert record.stages[0].endings == {"complete": 4, "disk_full": 1}
