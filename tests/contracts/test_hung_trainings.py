"""A training that hangs before its first batch is killed, and the message says where it was."""

from pathlib import Path
from typing import Any

import pytest

from storage.database import Database
from storage.snapshot.reader import read_sweep
from storage.snapshot.records import SlotRecord
from storage.states import SlotState
from sweep.api.submitting import submit
from sweep.training.contract import Device
from sweep.worker.shutdown import Shutdown
from sweep.worker.worker import Worker
from tests.command import Command

pytestmark = pytest.mark.slow

TRAINER = """
import threading
from sweep.training.process import child_main

def load(data):
    threading.Lock().acquire() and data.acquire()

def train(job, on_epoch):
    child_main.ALIVE_EVERY_S = 0.05  # a sign counts as many seconds as it does elsewhere
    data = threading.Lock()
    data.acquire()
    load(data)
"""


def trained(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> SlotRecord:
    """Serve a sweep of one trial; return how that ended."""
    monkeypatch.chdir(folder)
    (folder / "stuck_trainer.py").write_text(TRAINER)
    content = {
        "name": "one",
        "trainer": "stuck_trainer:train",
        "search": {"epochs": 1, "space": {"lr0": [0.1]}},
    }
    url = f"sqlite:///{folder / 'sweep.db'}"
    submit(Command(folder).write("one.yaml", content | changes), storage=url)
    database = Database.open(url)
    Worker(database, device=Device(), drain=True, shutdown=Shutdown()).run()
    return read_sweep(database.engine, "one").stages[0].slots[0]


def test_a_hang_before_the_first_batch_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = trained(tmp_path, monkeypatch, stuck_after_s=60.0, retries={"crashed": 1})
    assert (slot.state, slot.failure_kind, slot.attempt) == (SlotState.FAILED, "hung", 2)
    assert slot.message is not None
    assert slot.message.startswith("no batch in 60 s (`stuck_after_s`); killed")
    assert "it was at load (stuck_trainer.py:6) < train (stuck_trainer.py:12)" in slot.message
    log = next(tmp_path.rglob("attempt-2/train.log")).read_text()
    assert "stuck_trainer.py" in log
    assert "most recent call first" in log
