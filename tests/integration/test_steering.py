"""`sweep pause`, `resume`, `cancel`, `watch` and `db`, as a user gives them."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.command import Command, Finished, kill_group, wait_until
from tests.crash import patient

pytestmark = pytest.mark.slow

TRIALS = 60


def content(*, trials: int, epochs: int) -> dict[str, Any]:
    """Return a sweep file whose trials last a quarter of a second an epoch."""
    return {
        "name": "one",
        "trainer": "sweep.testing:instant_trainer",
        "train": {"seconds_per_epoch": 0.25},
        "search": {
            "epochs": epochs,
            "space": {"lr0": [0.1 / number for number in range(1, trials + 1)]},
        },
    }


@contextmanager
def worker(sweep: Command, *options: str) -> Iterator[Any]:
    process = sweep.start("worker", "one", "--share", "cpu:0:1.0", *options)
    try:
        yield process
    finally:
        if process.poll() is None:
            kill_group(process)


def succeeded(done: Finished) -> str:
    assert done.code == 0, done.err
    return done.out


def counts(sweep: Command) -> dict[str, int]:
    found: dict[str, int] = sweep.status("one")["stages"][0]["counts"]
    return found


def test_a_paused_sweep_gives_its_trial_back_and_resumes(sweep: Command) -> None:
    shutil.copy(patient.__file__, sweep.folder)
    long = content(trials=1, epochs=400) | {"trainer": patient.TRAINER, "train": {}}
    succeeded(sweep("submit", sweep.write("one.yaml", long)))
    with worker(sweep) as process:
        wait_until(lambda: counts(sweep)["running"] == 1, process)
        assert "paused" in succeeded(sweep("pause", "one"))
        wait_until(lambda: counts(sweep)["running"] == 0, process)
        status = sweep.status("one")
        assert status["state"] == "paused"
        assert status["stages"][0]["attempts"]["paused"] == 1
        assert "active" in succeeded(sweep("resume", "one"))
        (sweep.folder / patient.HURRY).touch()
        wait_until(lambda: counts(sweep)["complete"] == 1, process)
    status = sweep.status("one")
    assert status["state"] == "done"
    assert status["stages"][0]["attempts"] == {"paused": 1, "complete": 1}
    refused = sweep("pause", "one")
    assert refused.code == 2
    assert refused.err.strip() == "sweep: sweep 'one' is done and cannot become paused any more"


def test_a_cancelled_sweep_ends_its_trials_and_keeps_what_is_complete(sweep: Command) -> None:
    succeeded(sweep("submit", sweep.write("one.yaml", content(trials=TRIALS, epochs=4))))
    with worker(sweep, "--drain") as process:
        wait_until(lambda: counts(sweep)["complete"] >= 1, process)
        assert "cancelled" in succeeded(sweep("cancel", "one"))
        out, err = process.communicate()
        assert process.returncode == 0, (out, err)
    status = sweep.status("one")
    assert status["state"] == "cancelled"
    found = counts(sweep)
    assert found["complete"] >= 1
    assert found["cancelled"] == TRIALS - found["complete"] > 0
    refused = sweep("resume", "one")
    assert refused.code == 2
    assert "is cancelled and cannot become active" in refused.err
    watched = succeeded(sweep("watch", "one"))
    assert "one: cancelled" in watched


def test_watch_ends_with_the_sweep(sweep: Command) -> None:
    succeeded(sweep("submit", sweep.write("one.yaml", content(trials=3, epochs=4))))
    watching = sweep.start("watch", "one")
    with worker(sweep, "--drain") as process:
        out, err = process.communicate()
        assert process.returncode == 0, (out, err)
    out, err = watching.communicate()
    assert watching.returncode == 0, err
    assert "one: done" in out
    assert "3/3" in out


@pytest.mark.parametrize("command", ["pause", "resume", "cancel", "watch"])
def test_a_sweep_that_is_not_there_is_told(sweep: Command, command: str) -> None:
    succeeded(sweep("submit", sweep.write("one.yaml", content(trials=1, epochs=1))))
    done = sweep(command, "two")
    assert done.code == 2
    assert "no sweep 'two' in this database; there are: one" in done.err


def test_the_tables_of_a_database_are_checked_and_made(sweep: Command) -> None:
    missing = sweep("db", "check")
    assert missing.code == 2
    assert "does not exist" in missing.err
    (sweep.folder / "sweep.db").touch()
    empty = sweep("db", "check")
    assert empty.code == 1
    assert "no revision" in empty.err
    assert "`sweep db upgrade`" in empty.err
    made = succeeded(sweep("db", "upgrade"))
    assert succeeded(sweep("db", "upgrade")) == made  # again changes nothing
    assert "as this program needs them" in succeeded(sweep("db", "check"))
    with sqlite3.connect(sweep.folder / "sweep.db") as database:
        database.execute("UPDATE sweep_alembic_version SET version_num = '9999'")
    database.close()
    newer = sweep("db", "check")
    assert newer.code == 1
    assert "9999, newer than this program's" in newer.err
    refused = sweep("db", "upgrade")
    assert refused.code == 2
    assert "made by a newer version" in refused.err
