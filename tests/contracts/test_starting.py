"""No slot is claimed before a training would begin at once."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.database import Database
from storage.snapshot.reader import read_sweep
from storage.states import SlotState
from sweep.api.submitting import submit
from sweep.training.contract import Device
from sweep.training.process import forkserver
from sweep.worker.shutdown import Shutdown
from sweep.worker.worker import Worker
from tests.command import Command


class Server:
    """A fork server that is never there at once; then it is as a test says."""

    def __init__(self, there: Callable[[], bool]) -> None:
        self.there = there
        self.trainers: list[str] = []

    def ready(self, trainer: str) -> bool:
        self.trainers.append(trainer)
        return False

    def wait(self, trainer: str, leave: Callable[[], bool]) -> bool:
        return self.there()


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.chdir(tmp_path)
    content = {
        "name": "one",
        "trainer": "sweep.testing:instant_trainer",
        "search": {"epochs": 1, "space": {"lr0": [0.1]}},
    }
    url = f"sqlite:///{tmp_path / 'sweep.db'}"
    submit(Command(tmp_path).write("one.yaml", content), storage=url)
    return Database.open(url)


def worker_with(
    there: Callable[[], bool], database: Database, monkeypatch: pytest.MonkeyPatch
) -> Worker:
    monkeypatch.setattr(forkserver, "Readiness", lambda: Server(there))
    return Worker(database, device=Device(), shutdown=Shutdown())


def test_nothing_is_claimed_while_torch_is_loaded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[SlotState] = []

    def loaded() -> bool:
        states.extend(slot.state for slot in read_sweep(database.engine, "one").stages[0].slots)
        return True

    claimed = worker_with(loaded, database, monkeypatch)._claim()
    assert states == [SlotState.QUEUED]
    assert claimed is not None


def test_who_is_told_to_leave_meanwhile_claims_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worker_with(lambda: False, database, monkeypatch)._claim() is None


@pytest.mark.parametrize("error", [OSError("no more processes"), EOFError()])
def test_a_server_that_cannot_start_is_the_hosts_fault(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    def fail() -> bool:
        raise error

    assert worker_with(fail, database, monkeypatch)._claim() is None
    assert "one is left alone here: no training process can be started" in caplog.text


SLOW = """
import time
from pathlib import Path

Path("loading").touch()
while not Path("loaded").exists():
    time.sleep(0.01)
"""
WAITING = """
import json, os, signal
from pathlib import Path
from sweep.training.process import forkserver

forkserver._LIGHT.append("slow_to_load")
server = forkserver.Readiness()
trainer = "sweep.testing:instant_trainer"
found = [server.wait(trainer, leave=Path("loading").exists)]
Path("loaded").touch()
found += [server.wait(trainer, leave=lambda: False), server.ready(trainer)]
os.kill(forkserver.server_pid(), signal.SIGKILL)
os.waitid(os.P_PID, forkserver.server_pid(), os.WEXITED | os.WNOWAIT)
found += [server.ready(trainer), server.wait(trainer, leave=lambda: False)]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_the_server_is_waited_for_until_it_has_loaded_all(tmp_path: Path) -> None:
    (tmp_path / "slow_to_load.py").write_text(SLOW)
    (tmp_path / "waiting.py").write_text(WAITING)
    done = subprocess.run(
        [sys.executable, "waiting.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [False, True, True, False, True]
