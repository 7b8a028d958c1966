"""What dead workers leave is removed by others, and nothing that a living one may want."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from storage import failpoints
from storage.database import Database
from storage.engine import now_s, writing
from storage.errors import DatabaseGone
from storage.queue import retrying, workers
from storage.queue.leases import Lease
from storage.queue.trials import settled_attempts
from storage.snapshot.reader import read_sweep
from storage.states import SlotState
from storage.tables import slots
from storage.tables import workers as rows_of_workers
from sweep import paths
from sweep.training.contract import Device
from sweep.training.process import scratch
from sweep.worker import leftovers
from sweep.worker.leftovers import Leftovers, remove_from_trials, remove_unfinished
from sweep.worker.readiness import Readiness
from sweep.worker.run_folders import attempt_folders
from sweep.worker.upkeep import Upkeep
from tests.contracts.test_queue import RESULT, Clock, claimed
from tests.submission import submit

DAY_S = 24 * 3600.0
LEFT = (
    *(paths.CHECKPOINT, paths.PREVIOUS_CHECKPOINT, paths.UNFINISHED_CHECKPOINT, paths.UNWRITTEN),
    *("predictions.json.0a1b2c3d.part", "weights/best.pt.0a1b2c3d.part"),
)
KEPT = ("weights/best.pt", "train.log", "results.csv", "my-copy.part")


@pytest.fixture
def database(storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return Database.open(storage_url)


def train(database: Database) -> tuple[Lease, Path]:
    """Claim a slot and write what an attempt at it leaves."""
    lease = claimed(database.queue)
    database.queue.record_trial(
        lease, trial_id=lease.slot.id, number=lease.slot.ordinal, params={"lr0": 0.1}
    )
    folder = attempt_folders(paths.RUNS, lease, lease.slot.ordinal).own
    for name in (*LEFT, *KEPT):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return lease, folder


def there(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def tidied(database: Database) -> None:
    Leftovers(database).tidy()


def test_checkpoints_of_settled_trials_go_and_those_of_others_stay(database: Database) -> None:
    submit(database.engine, budget=4)
    over, of_over = train(database)
    untold, of_untold = train(database)
    running, of_running = train(database)
    given_back, of_given_back = train(database)
    database.queue.close(database.queue.settle(over, SlotState.COMPLETE, result=RESULT))
    database.queue.settle(untold, SlotState.COMPLETE, result=RESULT)
    database.queue.release(given_back, "preempted")

    tidied(database)

    assert there(of_over) == set(KEPT)
    for others in (of_untold, of_running, of_given_back):
        assert there(others) == {*LEFT, *KEPT}
    assert settled_attempts(database.engine, "one") == {over.slot.id: 1}
    assert running.attempt == 1


def test_a_trial_queued_again_meanwhile_keeps_what_it_goes_on_from(database: Database) -> None:
    submit(database.engine, budget=1)
    lease, before = train(database)
    database.queue.close(database.queue.settle(lease, SlotState.FAILED, failure_kind="crashed"))
    known = settled_attempts(database.engine, "one")
    retrying.retry(database.engine, "one")
    again, now = train(database)
    assert (again.slot.id, again.attempt) == (lease.slot.id, 3)

    for _ in remove_from_trials(paths.RUNS / "one", known):
        pass

    assert there(before) == set(KEPT)
    assert there(now) == {*LEFT, *KEPT}


def test_folders_of_others_are_left_alone(database: Database) -> None:
    submit(database.engine, budget=1)
    lease, folder = train(database)
    database.queue.close(database.queue.settle(lease, SlotState.COMPLETE, result=RESULT))
    trial = folder.parent
    (trial / f"slot-{lease.slot.id}").rename(trial / "slot-9999")
    copy = trial.with_name("trial-0000 copy")
    copy.mkdir()
    (copy / "attempt-1").mkdir()
    (copy / "attempt-1" / paths.CHECKPOINT).touch()
    tidied(database)
    assert there(folder) == {*LEFT, *KEPT}
    assert there(copy) == {f"attempt-1/{paths.CHECKPOINT}"}


class Ended(BaseException):
    """The process ended here."""


@pytest.mark.parametrize("step", [failpoints.TOLD, failpoints.CLOSED])
def test_a_kill_after_a_trial_was_settled_leaves_no_checkpoint(
    database: Database, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    from sweep.spec.sweep_file import SweepSpec

    spec = {"name": "one", "trainer": "sweep.testing:instant_trainer"}
    spec |= {"search": {"epochs": 2, "space": {"lr0": [0.1]}}}
    submit(database.engine, budget=1)
    monkeypatch.setattr(SweepSpec, "model_validate", lambda _: SweepSpec(**spec))
    lease, folder = train(database)
    settled = database.queue.settle(lease, SlotState.FAILED, failure_kind="crashed")
    monkeypatch.setattr(type(database.studies), "project", lambda *_, **__: None)
    monkeypatch.setattr(type(database.studies), "note_trial", lambda *_, **__: None)

    def reached(here: str) -> None:
        if here == step:
            raise Ended

    with monkeypatch.context() as patch, pytest.raises(Ended):
        patch.setattr(failpoints, "reached", reached)
        Upkeep(database, Readiness(database, Device())).close(settled)
    with writing(database.engine) as connection:  # its worker is dead
        connection.execute(update(slots).values(owner=None, owner_host=None))
    Upkeep(database, Readiness(database, Device())).close_all("one")

    assert there(folder) == set(KEPT)


def test_a_disk_that_cannot_be_written_keeps_no_slot_from_its_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sweep.worker import upkeep

    class Broken:
        def remove_checkpoints(self, **_: int) -> None:
            raise OSError(30, "Read-only file system")

    submit(database.engine, budget=1)
    lease, _ = train(database)
    settled = database.queue.settle(lease, SlotState.FAILED, failure_kind="crashed")
    monkeypatch.setattr(upkeep, "run_folders", lambda *_: Broken())
    monkeypatch.setattr(upkeep, "note_of_settled", lambda *_: "")
    monkeypatch.setattr(type(database.studies), "project", lambda *_, **__: None)
    monkeypatch.setattr(type(database.studies), "note_trial", lambda *_, **__: None)

    class Known:
        runs = paths.RUNS
        objective = "map50"

    monkeypatch.setattr(Readiness, "read", lambda *_: (Known(), Known()))
    Upkeep(database, Readiness(database, Device())).close(settled)
    assert database.queue.unclosed() == []


def unseen(engine: Engine, worker: str, seconds: float) -> None:
    workers.seen(engine, worker, host="h", device="cpu", slot=None)
    with writing(engine) as connection:
        connection.execute(
            update(rows_of_workers)
            .where(rows_of_workers.c.id == worker)
            .values(last_seen=now_s() - seconds)
        )


def test_rows_of_workers_that_are_long_gone_go_and_history_stays(database: Database) -> None:
    submit(database.engine)
    lease = claimed(database.queue)
    for worker, seconds in (("now", 0.0), ("late", DAY_S - 60), ("gone", DAY_S + 60)):
        unseen(database.engine, worker, seconds)
    tidied(database)
    assert workers.count(database.engine, seen_within_s=10 * DAY_S) == 2
    (slot,) = [slot for slot in read_sweep(database.engine, "one").stages[0].slots if slot.worker]
    assert slot.worker == lease.worker == "worker"
    database.queue.renew(lease)


def test_unfinished_files_go_after_a_day_by_the_disk_s_own_clock(tmp_path: Path) -> None:
    old, fresh, other = (
        tmp_path / name
        for name in ("best.pt.00000000.part", "report.html.00000001.part", "mine.part")
    )
    for path in (old, fresh, other):
        path.touch()
    now = fresh.stat().st_mtime
    os.utime(old, (now, now - DAY_S - 60))
    os.utime(other, (now, now - 9 * DAY_S))
    remove_unfinished(tmp_path)
    assert there(tmp_path) == {fresh.name, other.name}
    remove_unfinished(tmp_path / "missing")


def test_unfinished_files_of_a_sweep_and_its_report_are_looked_for(database: Database) -> None:
    submit(database.engine)
    places = [paths.RUNS / "one", Path("reports/one"), Path("reports/one/tables")]
    for folder in places:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / "x.0a1b2c3d.part"
        part.touch()
        os.utime(part, (0, 0))
    tidied(database)
    assert not any(there(folder) for folder in places)


def test_it_looks_a_little_at_a_time_and_now_and_then(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    clock = Clock()

    def look(_: Leftovers) -> object:
        for part in range(3):
            looks.append(part)
            clock.seconds += leftovers.STEP_S
            yield

    monkeypatch.setattr(Leftovers, "_look", look)
    tidy = Leftovers(database, clock).tidy
    seen = []
    for _ in range(6):
        tidy()
        seen.append(len(looks))
    clock.seconds += leftovers.AGAIN_S
    tidy()
    assert seen == [1, 2, 3, 3, 3, 3]
    assert len(looks) == 4


@pytest.mark.parametrize("error", [DatabaseGone("away"), OSError(5, "io"), ValueError("surprise")])
def test_what_goes_wrong_ends_no_worker(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(workers, "forget", fail)
    tidy = Leftovers(database).tidy
    tidy()
    tidy()


HOLDING = """
import os, signal, sys, time
from sweep.training.process import scratch
print(scratch.make_scratch(), flush=True)
if os.fork() == 0:
    time.sleep(600)
print("forked", flush=True)
time.sleep(600)
"""


def test_the_folder_of_a_server_goes_with_the_last_process_that_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    server = subprocess.Popen(
        [sys.executable, "-c", HOLDING],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert server.stdout is not None
    folder = Path(server.stdout.readline().strip())
    assert server.stdout.readline() == "forked\n"
    unlocked = tmp_path / f"{scratch.PREFIX}new"
    forgotten = tmp_path / f"{scratch.PREFIX}old"
    for other in (unlocked, forgotten):
        other.mkdir()
    os.utime(forgotten, (0, 0))
    try:
        scratch.remove_dead_scratch()
        assert folder.exists() and unlocked.exists() and not forgotten.exists()
        server.kill()
        server.wait()
        scratch.remove_dead_scratch()
        assert folder.exists(), "a training that was forked from it may live on for a moment"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.stdout.read()  # until the last one has ended
        server.stdout.close()
    scratch.remove_dead_scratch()
    assert not folder.exists()
