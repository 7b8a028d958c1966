"""Names and paths that attempts at one slot share."""

from pathlib import Path

from sweep import layout


def test_earlier_attempts_are_those_before_newest_first() -> None:
    runs = Path("runs")
    assert layout.earlier_run_folders(runs, "s", 7, 1) == ()
    assert layout.earlier_run_folders(runs, "s", 7, 3) == (
        layout.run_folder(runs, "s", 7, 2),
        layout.run_folder(runs, "s", 7, 1),
    )


def test_checkpoints_of_all_attempts_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for attempt in (1, 3):  # the second died before it wrote anything
        folder = layout.run_folder(tmp_path, "s", 7, attempt)
        folder.mkdir(parents=True)
        for name in (layout.CHECKPOINT, layout.PREVIOUS_CHECKPOINT, layout.EVALUATION):
            (folder / name).touch()
    layout.remove_checkpoints(tmp_path, "s", 7, 3)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {layout.EVALUATION}
