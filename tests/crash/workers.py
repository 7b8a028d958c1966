"""Workers at a small sweep of the instant trainer, for tests of what disturbs them."""

import subprocess
from typing import Any

from storage import overview
from storage.engine import open_engine
from storage.records import SlotState, SweepRecord
from tests.command import Command

EPOCHS = 6


def sweep_file(**changes: Any) -> dict[str, Any]:
    return {
        "name": "one",
        "trainer": "sweep.testing:instant_trainer",
        "train": {"seconds_per_epoch": 0.5},
        "search": {
            "epochs": EPOCHS,
            "space": {"optimizer": ["SGD"], "lr0": [0.1, 0.03, 0.01, 0.003]},
        },
    } | changes


def read(url: str) -> SweepRecord:
    engine = open_engine(url)
    try:
        return overview.read(engine, "one")
    finally:
        engine.dispose()


def complete_epochs(record: SweepRecord) -> list[list[int]]:
    slots = record.stages[0].slots
    assert {slot.state for slot in slots} == {SlotState.COMPLETE}
    return [[epoch.epoch for epoch in slot.epochs] for slot in slots]


def running(url: str) -> int:
    return sum(bool(slot.epochs) for slot in read(url).stages[0].slots)


def started_worker(sweep: Command, url: str, *options: str) -> subprocess.Popen[str]:
    return sweep.start("worker", "one", "--storage", url, "--share", "cpu:0:1.0", *options)


def heard(worker: subprocess.Popen[str], words: str) -> None:
    """Wait until a worker says these words."""
    assert worker.stdout is not None
    assert any(words in line for line in worker.stdout)
