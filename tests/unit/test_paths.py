"""Names and paths of what attempts at slots, and whole sweeps, write."""

from dataclasses import replace
from pathlib import Path

import pytest

from sweep import paths


def folders(runs: Path, **changes: object) -> paths.RunFolders:
    found = paths.RunFolders(runs=runs, sweep="s", stage="search", slot=12, number=7, label=None)
    return replace(found, **changes)


def test_a_run_folder_is_named_for_its_trial(tmp_path: Path) -> None:
    below = tmp_path / "s"
    assert folders(tmp_path).attempt(2) == below / "search" / "trial-0007" / "attempt-2"
    best = folders(tmp_path, stage="retrain-2", label="best")
    assert best.attempt(1) == below / "retrain-2" / "best" / "attempt-1"
    assert folders(tmp_path, label="repeat 1").trial == below / "search" / "repeat-1"


def test_a_trial_keeps_its_folder_and_finds_its_attempts(tmp_path: Path) -> None:
    one = folders(tmp_path)
    assert one.attempts == {}
    one.make()
    for attempt in (1, 3):  # the second died before it wrote anything
        one.attempt(attempt).mkdir()
    (one.trial / "attempt-1-copy").mkdir()
    assert one.attempts == {1: one.attempt(1), 3: one.attempt(3)}
    assert one.trial == tmp_path / "s" / "search" / "trial-0007"


def test_another_slot_with_the_same_number_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    first, second = folders(tmp_path), folders(tmp_path, slot=13)
    first.make()
    first.attempt(1).mkdir()
    second.make()
    assert second.attempts == {}
    assert second.attempt(1) == tmp_path / "s" / "search" / "trial-0007-slot-13" / "attempt-1"
    assert first.attempts == {1: first.attempt(1)}


def test_attempts_of_a_sweep_begun_before_folders_were_named_for_trials_are_found(
    tmp_path: Path,
) -> None:
    old = tmp_path / "s" / "000012" / "1"
    old.mkdir(parents=True)
    one = folders(tmp_path)
    one.make()
    one.attempt(2).mkdir()
    assert one.attempts == {1: old, 2: one.attempt(2)}


def test_checkpoints_of_all_attempts_are_removed_and_nothing_else(tmp_path: Path) -> None:
    one = folders(tmp_path)
    one.make()
    for folder in (tmp_path / "s" / "000012" / "1", one.attempt(2)):
        folder.mkdir(parents=True)
        for name in (paths.CHECKPOINT, paths.PREVIOUS_CHECKPOINT, paths.EVALUATION):
            (folder / name).touch()
    one.remove_checkpoints()
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {paths.EVALUATION, "slot-12"}


def test_a_slot_whose_trial_got_another_number_finds_all_its_attempts(tmp_path: Path) -> None:
    before, now = folders(tmp_path), folders(tmp_path, number=9)
    for one, attempt in ((before, 1), (before, 2), (now, 3)):
        one.make()
        one.attempt(attempt).mkdir()
        (one.attempt(attempt) / paths.CHECKPOINT).touch()
    assert now.attempts == {3: now.attempt(3)}
    assert now.all_attempts == {n: before.attempt(n) for n in (1, 2)} | {3: now.attempt(3)}
    now.remove_checkpoints(attempts=3)
    assert not list(tmp_path.rglob(paths.CHECKPOINT))


def test_reports_stand_beside_the_runs_whatever_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    page = paths.report_page(tmp_path / "runs", "s")
    assert page == tmp_path / "reports" / "s" / "report.html"
    gone = Path("/no such project/runs")
    assert paths.report_folder(gone, "s") == Path("reports/s"), "another machine's: here"
