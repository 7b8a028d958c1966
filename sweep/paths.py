"""The one owner of names and paths: what lies where on disk, what is called how in the database."""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
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
BEST_LOCK = ".best.lock"
"""Held while the two are written."""
LOGS = "workers"
"""Folder of workers' logs, in the sweep's folder below the runs."""
REPORT_PAGE = "report.html"
REPORT_TABLES = "tables"
"""Folder of a report's CSV tables, beside its page."""
CHECKPOINT = "state.ckpt"
"""What a training goes on from, in its run folder."""
PREVIOUS_CHECKPOINT = "state.previous.ckpt"
UNFINISHED_CHECKPOINT = "state.part"
LOG = "train.log"
"""All that a training prints, in its run folder."""
UNWRITTEN = "unwritten.jsonl"
"""Epochs that the database could not take while the attempt ran, in its run folder."""
EVALUATION = "evaluation.json"
PREDICTIONS = "predictions.json"


_UNFINISHED = re.compile(r".+\.[0-9a-f]{8}\.part")


def unfinished(path: Path, token: str) -> Path:
    """Return the name of a file until it is written to its end; `token` is eight hex digits."""
    return path.with_name(f"{path.name}.{token}.part")


def is_unfinished(name: str) -> bool:
    """Whether a file of this name is not written to its end yet, or never will be."""
    return _UNFINISHED.fullmatch(name) is not None


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

    @staticmethod
    def owners(trial: Path) -> set[int]:
        """Return the ids of the slots that a trial's folder belongs to: one, unless it is none."""
        return {
            int(path.name.removeprefix(_MARK))
            for path in trial.iterdir()
            if RunFolders.is_mark(path)
        }

    @staticmethod
    def is_mark(path: Path) -> bool:
        """Whether a file in a trial's folder says whose it is."""
        return path.name.startswith(_MARK) and path.name.removeprefix(_MARK).isdigit()

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
        found = attempts_in(self.runs / self.sweep / f"{self.slot:06d}")
        for trial in trials:
            found |= attempts_in(trial)
        return found

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
        """Remove what so many attempts left to go on from; a settled slot needs it no more.

        Raises:
            OSError: If it cannot be removed.
        """
        found = self.attempts if attempts == 1 else self.all_attempts
        for folder in found.values():
            remove_checkpoints(folder)

    def _mark(self, folder: Path) -> Path:
        return folder / f"{_MARK}{self.slot}"


def attempts_in(trial: Path) -> dict[int, Path]:
    """Return the folders of attempts in a trial's, by attempt."""
    return {
        int(number): folder
        for folder in trial.glob("*")
        if (number := folder.name.removeprefix(_ATTEMPT)).isdigit()  # not a copy that a user made
    }


def remove_checkpoints(attempt: Path) -> None:
    """Remove what an attempt left to go on from, and what it had not written to its end.

    Raises:
        OSError: If it cannot be removed.
    """
    left = (CHECKPOINT, PREVIOUS_CHECKPOINT, UNFINISHED_CHECKPOINT, UNWRITTEN)
    for name in left:
        (attempt / name).unlink(missing_ok=True)
    for folder in (attempt, attempt / WEIGHTS.name):
        with suppress(FileNotFoundError, NotADirectoryError):
            for path in [path for path in folder.iterdir() if is_unfinished(path.name)]:
                path.unlink(missing_ok=True)


_ATTEMPT = "attempt-"
_MARK = "slot-"


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
