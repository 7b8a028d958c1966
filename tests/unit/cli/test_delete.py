"""`sweep delete`: shows first, does it with --yes, and frees the name."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage import failpoints
from storage.database import Database
from storage.engine import writing
from storage.queue import deleting, sweeps
from storage.tables import slots
from sweep.training.contract import Device
from sweep.worker.shutdown import Shutdown
from sweep.worker.worker import Worker
from tests.command import Command, run_here
from tests.contracts.test_queue import NOBODY, claimed

SWEEP = {
    "name": "one",
    "trainer": "sweep.testing:instant_trainer",
    "search": {"epochs": 2, "space": {"lr0": [0.1, 0.01]}},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")
    assert run_here("submit", Command(tmp_path).write("one.yaml", SWEEP)).code == 0
    return tmp_path


def test_it_shows_what_would_go_and_does_it_when_told(folder: Path) -> None:
    (folder / "runs/one/best.pt").write_bytes(b"x" * 2000)

    shown = run_here("delete", "one")

    assert shown.code == 0
    assert shown.out.splitlines() == [
        "one (active): `sweep delete one --yes` takes away",
        "  rows: sweeps 1, slots 2, stages 1, attempts 0, epochs 0",
        "  Optuna study one/search: 0 trials",
        f"  {folder}/runs/one/sweep.yaml, {(folder / 'one.yaml').stat().st_size} B",
        "stays:",
        f"  {folder}/runs/one/best.pt: `--all` removes it",
    ]
    assert run_here("status", "one").code == 0
    everything = run_here("delete", "one", "--all").out
    assert "`sweep delete one --all --yes` takes away" in everything
    assert f"{folder}/runs/one/best.pt, 2.0 kB" in everything
    assert "stays" not in everything

    done = run_here("delete", "one", "--yes")
    assert (done.code, done.out.splitlines()[0]) == (0, "one is deleted; gone are")
    assert (folder / "runs/one/best.pt").exists()
    assert run_here("status", "one").code == 2
    assert run_here("submit", folder / "one.yaml").code == 0
    assert run_here("delete", "one", "--all", "--yes").code == 0
    assert not (folder / "runs/one").exists()
    gone = run_here("delete", "one", "--yes")
    assert (gone.code, "no sweep 'one'" in gone.err) == (2, True)


def test_programs_read_it_as_json(folder: Path) -> None:
    shown = json.loads(run_here("delete", "one", "--json").out)
    assert (shown["deleted"], shown["state"], shown["workers"]) == (False, "active", [])
    assert shown["rows"]["slots"] == 2
    assert shown["studies"] == {"one/search": 0}
    (file,) = shown["files"]
    assert (file["path"], file["bytes_complete"]) == (str(folder / "runs/one/sweep.yaml"), True)
    assert file["bytes"] == (folder / "one.yaml").stat().st_size
    done = json.loads(run_here("delete", "one", "--json", "--yes").out)
    assert (done["deleted"], done["state"], done["files"][0]["bytes"]) == (True, "deleted", None)


def test_it_names_the_workers_that_are_at_it_and_what_to_do(folder: Path) -> None:
    database = Database.open("sqlite:///sweep.db")
    claimed(database.queue, NOBODY)
    shown = run_here("delete", "one")
    assert shown.code == 0
    assert "one (active) cannot be deleted while workers are at it: worker" in shown.out
    refused = run_here("delete", "one", "--yes")
    assert refused.code == 2
    assert "at it: worker; run `sweep cancel one`, wait until" in refused.err
    assert run_here("status", "one").code == 0


def test_what_a_deletion_left_half_done_blocks_neither_the_name_nor_others(folder: Path) -> None:
    database = Database.open("sqlite:///sweep.db")
    deleting.mark(database.engine, "one")
    deleting.remove_slots(database.engine, "one")
    assert "deleting" in run_here("status").out
    assert json.loads(run_here("status", "one", "--json").out)["state"] == "deleting"
    refused = run_here("retrain", "one")
    assert (refused.code, "is being deleted" in refused.err) == (2, True)

    changed = SWEEP | {"search": {"epochs": 1, "space": {"lr0": [0.1, 0.2, 0.3]}}}
    assert run_here("submit", Command(folder).write("one.yaml", changed)).code == 0

    found = json.loads(run_here("status", "one", "--json").out)
    assert (found["state"], found["stages"][0]["total"]) == ("active", 3)


def test_a_study_that_came_too_late_is_removed_by_the_same_command(folder: Path) -> None:
    assert run_here("delete", "one", "--all", "--yes").code == 0
    late = Database.open("sqlite:///sweep.db").studies
    late.ensure("one/search", metric="map50_95", attributes={"sweep": "one"})
    refused = run_here("submit", folder / "one.yaml")
    assert (refused.code, "`sweep delete one --yes`" in refused.err) == (2, True)
    assert run_here("delete", "one", "--yes").code == 0
    assert run_here("submit", folder / "one.yaml").code == 0


@pytest.mark.slow
def test_a_worker_that_lives_on_serves_the_new_sweep_of_the_name(folder: Path) -> None:
    """What it knows of a sweep is not taken for another one of the same name, and the same id."""
    worker = Worker(
        Database.open("sqlite:///sweep.db"), device=Device(), drain=True, shutdown=Shutdown()
    )
    worker.run()
    assert run_here("delete", "one", "--all", "--yes").code == 0
    changed = SWEEP | {"search": {"epochs": 3, "space": {"lr0": [0.3], "momentum": [0.5, 0.9]}}}
    changed["objective"] = "map50"
    assert run_here("submit", Command(folder).write("one.yaml", changed)).code == 0

    worker.run()

    found = json.loads(run_here("status", "one", "--json").out)
    (stage,) = found["stages"]
    assert (found["state"], stage["counts"]["complete"]) == ("done", 2)
    trial = json.loads(run_here("status", "one", "--trials", "--json").out)["trials"][0]
    assert (trial["epochs"], sorted(trial["params"])) == (3, ["lr0", "momentum"])


def test_watching_a_sweep_ends_with_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sweep.cli import inspect

    def meanwhile(_: float) -> None:
        from sweep.submission.deleting import delete

        delete(Database.open("sqlite:///sweep.db"), "one")

    monkeypatch.setattr(inspect.time, "sleep", meanwhile)
    watched = run_here("watch", "one")
    assert (watched.code, watched.out.splitlines()[-1]) == (0, "one was deleted")


@pytest.mark.slow
@pytest.mark.parametrize("step", failpoints.STEPS_OF_DELETION)
def test_a_kill_at_any_step_is_made_good_by_the_same_command(folder: Path, step: str) -> None:
    killed = subprocess.run(
        [sys.executable, "-m", "sweep.cli", "delete", "one", "--all", "--yes"],
        check=False,
        cwd=folder,
        env={**os.environ, failpoints.VARIABLE: step},
        capture_output=True,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    again = run_here("delete", "one", "--all", "--yes")
    assert again.code == (2 if step == failpoints.ROWS_REMOVED else 0)
    database = Database.open("sqlite:///sweep.db")
    assert sweeps.names(database.engine) == []
    with writing(database.engine) as connection:
        assert connection.execute(slots.select()).all() == []
    assert database.studies.owned_by("one") == {}
    assert not (folder / "runs/one").exists()
    assert run_here("submit", folder / "one.yaml").code == 0
