"""Names and paths that attempts at one slot share."""

from pathlib import Path

from sweep import paths


def test_earlier_attempts_are_those_before_newest_first() -> None:
    runs = Path("runs")
    assert paths.earlier_run_folders(runs, "s", 7, 1) == ()
    assert paths.earlier_run_folders(runs, "s", 7, 3) == (
        paths.run_folder(runs, "s", 7, 2),
        paths.run_folder(runs, "s", 7, 1),
    )


def test_checkpoints_of_all_attempts_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for attempt in (1, 3):  # the second died before it wrote anything
        folder = paths.run_folder(tmp_path, "s", 7, attempt)
        folder.mkdir(parents=True)
        for name in (paths.CHECKPOINT, paths.PREVIOUS_CHECKPOINT, paths.EVALUATION):
            (folder / name).touch()
    paths.remove_checkpoints(tmp_path, "s", 7, 3)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {paths.EVALUATION}
