"""The one owner of names and paths: what lies where on disk, what is called how in the database."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
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
REPORTS = "reports"
"""Where `sweep report` and `sweep export` write unless told otherwise, beside the runs."""

BEST_WEIGHTS = "best.pt"
"""Weights of the model that a sweep recommends, in its folder below the runs."""
BEST_SETTINGS = "best.yaml"
"""Settings that this model was trained with, beside its weights."""
SWEEP_FILE = "sweep.yaml"
"""The sweep file as it was submitted, in the sweep's folder below the runs."""
REPORT_PAGE = "report.html"
CHECKPOINT = "state.ckpt"
"""What a training goes on from, in its run folder."""
PREVIOUS_CHECKPOINT = "state.previous.ckpt"
LOG = "train.log"
"""All that a training prints, in its run folder."""
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


@dataclass(frozen=True, kw_only=True)
class RunFolders:
    """Where the attempts at one slot write: `runs/<sweep>/<stage>/trial-0007/attempt-1`.

    Named for what the trial is (`best`), else for its number in the study. A study that was made
    again numbers its trials anew, so a trial's folder says which slot it belongs to, and a folder
    that does not is another's.
    """

    runs: Path
    sweep: str
    stage: str
    slot: int
    """Id of the slot."""
    number: int | None
    """Of its trial in the study; None before the first claim."""
    label: str | None
    """What the slot is for where that matters."""

    @property
    def trial(self) -> Path:
        """Folder of the trial."""
        name = f"trial-{self.number or 0:04d}" if self.label is None else self.label
        folder = self.runs / self.sweep / self.stage / name.replace(" ", "-")
        if folder.exists() and not self._mark(folder).exists():
            return folder.with_name(f"{folder.name}-{self._mark(folder).name}")
        return folder

    @property
    def attempts(self) -> dict[int, Path]:
        """Folders of the attempts so far, by attempt; also those named for slots, as before."""
        return self._attempts_in([self.trial] if self._mark(self.trial).exists() else [])

    @property
    def all_attempts(self) -> dict[int, Path]:
        """Folders of the attempts so far, those under earlier numbers of the trial included.

        A slot that began anew has another trial. Looks into every folder of the stage.
        """
        marks = (self.runs / self.sweep / self.stage).glob(f"*/{self._mark(Path()).name}")
        return self._attempts_in(sorted(mark.parent for mark in marks))

    def _attempts_in(self, trials: Sequence[Path]) -> dict[int, Path]:
        folders = [*(self.runs / self.sweep / f"{self.slot:06d}").glob("*")]
        for trial in trials:
            folders += trial.glob(f"{_ATTEMPT}*")
        numbers = [folder.name.removeprefix(_ATTEMPT) for folder in folders]
        return {
            int(number): folder
            for number, folder in zip(numbers, folders, strict=True)
            if number.isdigit()  # not a copy that a user made
        }

    def attempt(self, attempt: int) -> Path:
        """Folder that one attempt writes to; earlier attempts' are only read."""
        return self.trial / f"{_ATTEMPT}{attempt}"

    def make(self) -> None:
        """Make the trial's folder, and note in it whose it is.

        Raises:
            OSError: If it cannot be written.
        """
        folder = self.trial
        folder.mkdir(parents=True, exist_ok=True)
        self._mark(folder).touch()

    def remove_checkpoints(self, *, attempts: int = 1) -> None:
        """Remove what so many attempts left to go on from; a settled slot needs it no more."""
        found = self.attempts if attempts == 1 else self.all_attempts
        for folder in found.values():
            for name in (CHECKPOINT, PREVIOUS_CHECKPOINT, UNWRITTEN):
                (folder / name).unlink(missing_ok=True)

    def _mark(self, folder: Path) -> Path:
        return folder / f"slot-{self.slot}"


_ATTEMPT = "attempt-"


def best_weights(runs: Path, sweep: str) -> Path:
    """Path of the weights that a sweep recommends."""
    return runs / sweep / BEST_WEIGHTS


def best_settings(runs: Path, sweep: str) -> Path:
    """Path of the settings that these weights were trained with."""
    return runs / sweep / BEST_SETTINGS


def sweep_file(runs: Path, sweep: str) -> Path:
    """Path of the sweep file as it was submitted."""
    return runs / sweep / SWEEP_FILE


def report_folder(runs: Path, sweep: str) -> Path:
    """Default folder of a sweep's report and tables: beside its runs.

    Below the current folder where the runs lie on another machine.
    """
    project = runs.parent if runs.parent.is_dir() else Path()
    return project / REPORTS / sweep


def report_page(runs: Path, sweep: str) -> Path:
    """Default path of a sweep's report."""
    return report_folder(runs, sweep) / REPORT_PAGE
