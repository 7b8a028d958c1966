"""The one owner of names and paths: what lies where on disk, what is called how in the database."""

import os
from pathlib import Path

DEFAULT_STORAGE = "sqlite:///sweep.db"
STORAGE_VARIABLE = "SWEEP_STORAGE"

PREPARED = Path("prepared")
"""Where `sweep prepare` writes unless told otherwise, below the current folder."""
RUNS = Path("runs")
"""Where trials write, below the current folder of `sweep submit`."""
WEIGHTS = Path("weights")
"""Where downloaded weights are kept."""
WORKER_LOGS = RUNS / "workers"
"""Where workers that serve several sweeps write their logs."""
REPORTS = Path("reports")
"""Where `sweep report` and `sweep export` write unless told otherwise."""

REPORT_PAGE = "report.html"
CHECKPOINT = "state.ckpt"
"""What a training goes on from, in its run folder."""
PREVIOUS_CHECKPOINT = "state.previous.ckpt"
UNWRITTEN = "unwritten.jsonl"
"""Epochs that the database could not take while the attempt ran, in its run folder."""
EVALUATION = "evaluation.json"
PREDICTIONS = "predictions.json"


IMAGE_CACHE_VARIABLE = "SWEEP_STREAM"


def image_cache_folder() -> Path:
    """Where this host keeps the images that trainings share, for all sweeps of a user.

    `SWEEP_STREAM`, else below the user's cache (XDG Base Directory Specification). Everything in
    it may be removed at any time.
    """
    if chosen := os.environ.get(IMAGE_CACHE_VARIABLE):
        return Path(chosen).resolve()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return (Path(cache) / "detsweep" / "stream").resolve()


def study_name(sweep: str, stage: str) -> str:
    """Name of a stage's Optuna study."""
    return f"{sweep}/{stage}"


def run_folder(runs: Path, sweep: str, slot: int, attempt: int) -> Path:
    """Folder that one attempt at one slot writes to; earlier attempts' are only read."""
    return runs / sweep / f"{slot:06d}" / str(attempt)


def earlier_run_folders(runs: Path, sweep: str, slot: int, attempt: int) -> tuple[Path, ...]:
    """Folders of the attempts before `attempt`, newest first."""
    return tuple(run_folder(runs, sweep, slot, number) for number in range(attempt - 1, 0, -1))


def remove_checkpoints(runs: Path, sweep: str, slot: int, attempts: int) -> None:
    """Remove what attempts up to `attempts` left to go on from; a settled slot needs it no more."""
    for folder in earlier_run_folders(runs, sweep, slot, attempts + 1):
        for name in (CHECKPOINT, PREVIOUS_CHECKPOINT, UNWRITTEN):
            (folder / name).unlink(missing_ok=True)


def report_folder(sweep: str) -> Path:
    """Default folder of a sweep's report and tables."""
    return REPORTS / sweep


def report_page(sweep: str) -> Path:
    """Default path of a sweep's report."""
    return report_folder(sweep) / REPORT_PAGE
