"""What trainings leak is gone when they end: worker and fork server stay as they are."""

import subprocess
import time

import psutil
import pytest

from storage.database import Database
from storage.snapshot.reader import read_sweep
from storage.states import SlotState
from tests.command import Command

pytestmark = pytest.mark.slow

TRIALS, SETTLED_AFTER = 20, 2
MOST_MB = 50.0


def test_twenty_trials_in_one_worker_leave_its_memory_as_it_was(sweep: Command) -> None:
    sweep.write(
        "tiny.yaml",
        {
            "name": "tiny",
            "source": {"synthetic": "shapes", "images": 12},
            "size": 32,
            "split": {"train": 0.6, "val": 0.2, "test": 0.2},
        },
    )
    file = sweep.write(
        "leak.yaml",
        {
            "name": "leak",
            "dataset": "tiny.yaml",
            "model": "yolov8n.yaml",
            "train": {"imgsz": 32, "batch": 4, "nbs": 4, "optimizer": "AdamW"},
            "search": {
                "epochs": 2,
                "sampler": "tpe",
                "trials": TRIALS,
                "space": {"lr0": {"low": 0.0001, "high": 0.01, "log": True}},
            },
        },
    )
    done = sweep("submit", file)
    assert done.code == 0, done.err
    worker = sweep.start("worker", "leak", "--drain")
    memory = memory_by_trials_done(sweep, worker)
    assert worker.wait() == 0, worker.communicate()
    settled = min(trials for trials in memory if trials >= SETTLED_AFTER)
    last = max(trials for trials in memory if trials < TRIALS)
    assert last - settled > TRIALS / 2
    for name in ("worker", "server"):
        grown_mb = (memory[last][name] - memory[settled][name]) / 1e6
        assert grown_mb < MOST_MB, {trials: found[name] for trials, found in memory.items()}


def memory_by_trials_done(
    sweep: Command, worker: "subprocess.Popen[str]"
) -> dict[int, dict[str, int]]:
    """Follow a worker to its end; return the most bytes that were resident after so many trials."""
    engine = Database.open(f"sqlite:///{sweep.folder / 'sweep.db'}").engine
    found: dict[int, dict[str, int]] = {}
    process = psutil.Process(worker.pid)
    while worker.poll() is None:
        slots = read_sweep(engine, "leak").stages[0].slots
        complete = sum(slot.state is SlotState.COMPLETE for slot in slots)
        most = found.setdefault(complete, {"worker": 0, "server": 0})
        try:
            most["worker"] = max(most["worker"], process.memory_info().rss)
            for server in process.children():
                if "forkserver" in " ".join(server.cmdline()):
                    most["server"] = max(most["server"], server.memory_info().rss)
        except psutil.NoSuchProcess:  # it is ending
            continue
        time.sleep(0.05)
    engine.dispose()
    return found
