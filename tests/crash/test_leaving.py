"""Workers that are told to leave, and workers whose parent is killed: no slot waits for a lease."""

import os
import shutil
import signal
from typing import Any

import pytest

from storage.database import Database
from storage.process_identity import ProcessIdentity
from storage.queue.leases import Lease
from storage.snapshot.records import StageRecord
from storage.states import SlotState
from tests.command import Command, kill_group, living, orphans, wait_until
from tests.crash import patient
from tests.crash.workers import heard, read, started_worker, sweep_file

pytestmark = pytest.mark.slow

LONG = {"train": {"seconds_per_epoch": 600.0}}
FOREVER = {"trainer": patient.TRAINER, "train": {}}
TRIALS = 2
AS_A_COMMAND = {
    "run": ("run", "one.yaml"),
    "worker": ("worker", "one"),
}
SHARED = ("--workers", str(TRIALS), "--device", "cpu")


@pytest.fixture
def url(sweep: Command) -> str:
    shutil.copy(patient.__file__, sweep.folder)
    return f"sqlite:///{sweep.folder / 'sweep.db'}"


def submitted(sweep: Command, url: str, **changes: Any) -> None:
    content = sweep_file(**changes)
    content["search"] |= {"epochs": 400, "space": {"lr0": [0.1, 0.01]}}
    done = sweep("submit", sweep.write("one.yaml", content), "--storage", url)
    assert done.code == 0, done.err


def search(url: str) -> StageRecord:
    return read(url).stages[0]


def states(url: str) -> list[SlotState]:
    return [slot.state for slot in search(url).slots]


def training(url: str) -> bool:
    """Whether all trials are in training, and have reported epochs if these are short."""
    return states(url) == [SlotState.RUNNING] * TRIALS and all(
        slot.epochs for slot in search(url).slots
    )


def claimed_now(url: str) -> Lease | None:
    """Claim as a worker that has just started here."""
    return Database.open(url).queue.claim("another", ProcessIdentity.current())


@pytest.mark.parametrize(
    ("command", "stopped"), [("run", False), ("worker", False), ("worker", True)]
)
def test_workers_end_with_who_started_them_and_free_their_slots(
    sweep: Command, url: str, command: str, stopped: bool
) -> None:
    submitted(sweep, url, **FOREVER)
    parent = sweep.start(*AS_A_COMMAND[command], *SHARED)
    try:
        wait_until(lambda: training(url), parent)
        if stopped:
            os.killpg(parent.pid, signal.SIGSTOP)
        parent.kill()
        parent.wait()
        if stopped:
            check_free(url)
            os.killpg(parent.pid, signal.SIGCONT)  # their trainings end when they go on
        assert orphans(parent.pid) == []
    finally:
        if living(parent.pid):
            os.killpg(parent.pid, signal.SIGKILL)
    if not stopped:
        check_free(url)


def check_free(url: str) -> None:
    for _ in range(TRIALS):
        lease = claimed_now(url)
        assert lease is not None
        assert (lease.attempt, lease.lost) == (2, 1)


def test_an_epoch_that_does_not_end_in_time_is_dropped_and_its_slot_given_back(
    sweep: Command, url: str
) -> None:
    submitted(sweep, url, **LONG)
    worker = started_worker(sweep, url, "--grace-s", "1")
    wait_until(lambda: SlotState.RUNNING in states(url), worker)
    worker.terminate()
    out, err = worker.communicate()
    assert worker.returncode == 0, (out, err)
    assert "given back (preempted)" in out
    assert states(url) == [SlotState.QUEUED] * TRIALS
    assert orphans(worker.pid) == []


@pytest.mark.parametrize(("command", "whom"), [("run", "all"), ("worker", "parent")])
def test_an_epoch_that_ends_in_time_is_kept(
    sweep: Command, url: str, command: str, whom: str
) -> None:
    submitted(sweep, url, **FOREVER)
    parent = sweep.start(*AS_A_COMMAND[command], *SHARED, "--grace-s", "600")
    wait_until(lambda: training(url), parent)
    os.kill(parent.pid, signal.SIGTERM) if whom == "parent" else os.killpg(
        parent.pid, signal.SIGTERM
    )
    out, err = parent.communicate()
    assert parent.returncode == (130 if command == "run" else 0), (out, err)
    assert "stopping after the epoch at hand, if it ends within 600 s" in err
    found = search(url)
    assert states(url) == [SlotState.QUEUED] * TRIALS
    assert found.endings == {"preempted": TRIALS}
    logs = sweep.folder / "runs" / ("one/workers" if command == "run" else "workers")
    for log in logs.iterdir():
        assert log.read_text().splitlines()[-2].endswith("given back (preempted)"), log.read_text()
        assert " epoch " in log.read_text().splitlines()[-3], "it ended, and was not dropped"


@pytest.mark.parametrize("command", AS_A_COMMAND)
def test_told_twice_workers_drop_their_epochs(sweep: Command, url: str, command: str) -> None:
    submitted(sweep, url, **LONG)
    parent = sweep.start(*AS_A_COMMAND[command], *SHARED, "--grace-s", "600")
    wait_until(lambda: states(url) == [SlotState.RUNNING] * TRIALS, parent)
    assert parent.stderr is not None
    for words in ("after the epoch at hand", "at once"):
        parent.terminate()
        assert any(f"stopping {words}" in line for line in parent.stderr)
    parent.communicate()
    assert states(url) == [SlotState.QUEUED] * TRIALS
    assert search(url).endings == {"preempted": TRIALS}


def test_a_worker_is_told_while_it_waits_for_the_database(sweep: Command) -> None:
    url = f"sqlite:///{sweep.folder / 'sweep.db'}"
    submitted(sweep, url)
    worker = started_worker(sweep, url, "--grace-s", "1")
    wait_until(lambda: SlotState.RUNNING in states(url), worker)
    with Database.open(url).engine.execution_options(sqlite_begin="IMMEDIATE").begin():
        worker.terminate()
        heard(worker, "leaving while the database is away")
        worker.communicate()
    assert worker.returncode == 0
    if orphans(worker.pid):
        kill_group(worker)
        raise AssertionError("its training lives on")
