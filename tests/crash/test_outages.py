"""The database goes away under workers: trainings go on, and nothing is lost.

By hand for a minute: `SWEEP_TEST_OUTAGE_S=60 python -m pytest tests/crash/test_outages.py`.
"""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.states import SlotState
from sweep.worker import pending_epochs
from tests.command import Command, kill_group, wait_until
from tests.crash.workers import (
    EPOCHS,
    complete_epochs,
    heard,
    read,
    running,
    started_worker,
    sweep_file,
)
from tests.postgres import Postgres

OUTAGE_S = float(os.environ.get("SWEEP_TEST_OUTAGE_S", "0"))
"""How long the database is away at least, beyond the moment when the first worker notices."""
WORKERS = 8

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[Postgres]:
    server = Postgres(fsync="off")
    server.start()
    yield server
    server.remove()


def test_workers_train_on_while_the_database_is_away(sweep: Command, server: Postgres) -> None:
    url = server.create_database("sweeps")
    content = sweep_file(train={"seconds_per_epoch": 1.0 + OUTAGE_S / 4})
    content["search"]["space"]["lr0"] = [0.1 / number for number in range(1, 3 * WORKERS + 1)]
    assert sweep("submit", sweep.write("one.yaml", content), "--storage", url).code == 0
    workers = [started_worker(sweep, url, "--drain") for _ in range(WORKERS)]
    wait_until(lambda: running(url) >= WORKERS, workers[0])
    server.stop()
    for worker in workers:
        heard(worker, "waiting for it")
    time.sleep(OUTAGE_S)
    server.start()
    for worker in workers:
        out, err = worker.communicate()
        assert worker.returncode == 0, (out, err)
    record = read(url)
    assert complete_epochs(record) == [list(range(1, EPOCHS + 1))] * len(record.stages[0].slots)
    assert {slot.attempt for slot in record.stages[0].slots} == {1}
    assert server.connections("sweeps") == 0


def test_epochs_of_an_outage_outlive_their_worker(sweep: Command, server: Postgres) -> None:
    shutil.copy(Path(__file__).with_name("saving.py"), sweep.folder)
    url = server.create_database("sweeps")
    content = sweep_file(trainer="saving:train", train={"seconds_per_epoch": 1.0})
    content["search"]["space"]["lr0"] = [0.1, 0.01]
    file = sweep.write("one.yaml", content)
    assert sweep("submit", file, "--storage", url).code == 0
    worker = started_worker(sweep, url)
    wait_until(lambda: running(url) >= 1, worker)
    server.stop()
    checkpoint = sweep.folder / "runs/one/search/trial-0000/attempt-1/state.ckpt"
    wait_until(lambda: kept_epochs(checkpoint.parent)[1:] != [], worker)
    wait_until(lambda: int(checkpoint.read_text()) >= kept_epochs(checkpoint.parent)[1], worker)
    kill_group(worker)
    server.start()
    (slot,) = (slot for slot in read(url).stages[0].slots if slot.state is SlotState.RUNNING)
    assert len(slot.epochs) < int(checkpoint.read_text())
    other = started_worker(sweep, url, "--drain")
    out, err = other.communicate()
    assert other.returncode == 0, (out, err)
    record = read(url)
    assert complete_epochs(record) == [list(range(1, EPOCHS + 1))] * 2
    assert record.stages[0].slots[0].attempt == 2
    assert not list(sweep.folder.rglob("unwritten.jsonl"))


def kept_epochs(run_folder: Path) -> list[int]:
    return sorted(pending_epochs.kept(run_folder))
