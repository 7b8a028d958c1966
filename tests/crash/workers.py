"""Workers at a small sweep of the instant trainer, for tests of what disturbs them."""

import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import psutil
from sqlalchemy import make_url, text

from storage.database import Database
from storage.engine import reading
from storage.snapshot.reader import read_sweep
from storage.snapshot.records import SweepRecord
from storage.states import SlotState
from storage.urls import is_sqlite
from tests.command import Command

EPOCHS = 6
_BUSY_CONNECTIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend'
    AND state <> 'idle' AND pid <> pg_backend_pid()
"""


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
    engine = Database.open(url).engine
    try:
        return read_sweep(engine, "one")
    finally:
        engine.dispose()


def complete_epochs(record: SweepRecord) -> list[list[int]]:
    slots = record.stages[0].slots
    assert {slot.state for slot in slots} == {SlotState.COMPLETE}
    return [[epoch.epoch for epoch in slot.epochs] for slot in slots]


def running(url: str) -> int:
    """Count the slots in training whose first epoch is recorded."""
    slots = read(url).stages[0].slots
    return sum(slot.state is SlotState.RUNNING and bool(slot.epochs) for slot in slots)


def started_worker(sweep: Command, url: str, *options: str) -> subprocess.Popen[str]:
    return sweep.start("worker", "one", "--storage", url, "--share", "cpu:0:1.0", *options)


def stop_between_transactions(
    url: str, processes: Sequence["subprocess.Popen[str]"], send: Callable[[int, int], None]
) -> None:
    """Stop processes with SIGSTOP, given to `send`; not amid a transaction, whose locks stay."""
    pids = [process.pid for process in processes]
    while True:
        for pid in pids:
            send(pid, signal.SIGSTOP)
        stopped = all(psutil.Process(pid).status() == psutil.STATUS_STOPPED for pid in pids)
        if stopped and not _amid_transaction(url):
            return
        for pid in pids:
            send(pid, signal.SIGCONT)
        time.sleep(0.01)


def _amid_transaction(url: str) -> bool:
    """Whether anybody is amid a transaction; on SQLite, amid one that writes."""
    if is_sqlite(url):
        with closing(sqlite3.connect(str(make_url(url).database), timeout=0)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            return False
    engine = Database.open(url).engine
    with reading(engine) as connection:
        busy = connection.execute(text(_BUSY_CONNECTIONS)).scalar_one()
    engine.dispose()
    return bool(busy)


def heard(worker: subprocess.Popen[str], words: str) -> None:
    """Wait until a worker says these words."""
    assert worker.stdout is not None
    assert any(words in line for line in worker.stdout)
