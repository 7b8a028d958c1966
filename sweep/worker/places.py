"""Where a sweep's files are, seen from where this process stands.

The database names them as they were at submit. The project's folder may have been moved since, or
be mounted elsewhere on this host; so the dataset is known by its fingerprint, the weights by their
SHA-256, and both are looked for where `sweep run` would put them.
"""

import hashlib
import importlib
import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from sqlalchemy import Engine

from storage.queue.sweeps import Submission
from storage.snapshot.reader import read_sweep
from storage.snapshot.records import SlotRecord, StageRecord, SweepRecord
from storage.urls import is_sqlite
from sweep import paths
from sweep.errors import SweepError
from sweep.training.registry import BUILT_IN
from sweep.training.ultralytics.model_names import ASSETS
from sweep.training.ultralytics.pretrained import resolve_weights

_NEEDED = {"ultralytics": ("torch", "ultralytics")}
"""Modules that a built-in trainer is made of."""


class NotHere(SweepError):
    """What a training of a sweep needs is not here: serve another sweep, or wait."""


@dataclass(frozen=True, kw_only=True)
class Standpoint:
    """The folders that may be the project's."""

    current: Path
    beside: Path | None
    """Where the SQLite database is; None for a server's."""

    @property
    def folders(self) -> tuple[Path, ...]:
        """Both, each once."""
        return tuple(dict.fromkeys(path for path in (self.current, self.beside) if path))


def standing(engine: Engine) -> Standpoint:
    """Return from where this process looks for files of the sweeps in a database."""
    database = engine.url.database
    beside = Path(database).resolve().parent if is_sqlite(str(engine.url)) and database else None
    return Standpoint(current=Path.cwd(), beside=beside)


def read_here(engine: Engine, name: str) -> SweepRecord:
    """Read a sweep, with its files as they are found from here; else as they were at submit.

    Raises:
        SweepNotFound: If there is no sweep of this name.
    """
    record, here = read_sweep(engine, name), standing(engine)
    runs = runs_folder(record, here)
    dataset = record.dataset and (dataset_folder(record, here) or record.dataset)
    if (runs, dataset) == (record.runs, record.dataset):
        return record
    stages = tuple(_moved(stage, record.runs, runs) for stage in record.stages)
    return replace(record, runs=runs, dataset=dataset, stages=stages)


def _moved(stage: StageRecord, before: Path, now: Path) -> StageRecord:
    def move(slot: SlotRecord) -> SlotRecord:
        if slot.result is None:
            return slot
        files = {
            name: str(now / Path(file).relative_to(before))
            for name in ("checkpoint", "evaluation")
            if (file := slot.result.get(name)) and Path(file).is_relative_to(before)
        }
        return replace(slot, result={**slot.result, **files})

    return replace(stage, slots=tuple(map(move, stage.slots)))


def runs_folder(submission: Submission, here: Standpoint) -> Path:
    """Return where a sweep's trials write: as at submit, or where the project's folder is now.

    Runs that lie beside their SQLite database were copied or moved together with it: whoever works
    on a copy leaves the original alone, even where that still exists.
    """
    if here.beside and (here.beside / paths.RUNS / submission.name).is_dir():
        return here.beside / paths.RUNS
    if submission.runs.parent.is_dir():
        return submission.runs
    now = [folder / paths.RUNS for folder in here.folders]
    return next((runs for runs in now if (runs / submission.name).is_dir()), now[0])


def dataset_folder(submission: Submission, here: Standpoint) -> Path | None:
    """Return the folder of a sweep's prepared dataset; None where it is not found."""
    stored = submission.dataset
    if stored is None:
        return None
    for folder in (stored, *_prepared(stored.name, [submission.runs.parent, *here.folders])):
        if _fingerprint(folder) == submission.fingerprint:
            return folder
    return None


def _prepared(name: str, projects: Sequence[Path]) -> Iterator[Path]:
    """Yield the prepared datasets of projects, first those of the name."""
    for project in projects:
        yield project / paths.PREPARED / name
    for project in projects:
        yield from sorted((project / paths.PREPARED).glob("[!.]*/"))


def _fingerprint(dataset: Path) -> str | None:
    try:
        found = json.loads((dataset / "report.json").read_text())["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(found)


def for_training(submission: Submission, trainer: str, here: Standpoint) -> Submission:
    """Return a sweep with its files as they are found from here; missing weights are fetched.

    Raises:
        NotHere: If something that its trainings need is not here.
    """
    dataset = dataset_folder(submission, here)
    if submission.dataset is not None and dataset is None:
        raise NotHere(
            f"its dataset is not here: neither {submission.dataset} nor a folder below "
            f"{here.current / paths.PREPARED} has the fingerprint {submission.fingerprint[:12]}; "
            "put it there, or start the worker where the project's folder is"
        )
    for module in _NEEDED.get(trainer, (trainer.partition(":")[0],)):
        if not _importable(module):
            raise NotHere(
                f"its trainer needs the module {module}, which is neither on the Python path nor "
                f"in {Path.cwd()}"
            )
    return replace(
        submission,
        runs=runs_folder(submission, here),
        dataset=dataset,
        model=_weights(submission, trainer, here),
    )


def _importable(module: str) -> bool:
    """Whether a module can be found; it is not imported, for it may import torch."""
    importlib.invalidate_caches()
    name, *inner = module.split(".")
    try:
        found: ModuleSpec | None = importlib.util.find_spec(name)
    except (ValueError, ImportError):
        found = None
    # As the process that trains does (`sweep.training.registry`).
    found = found or PathFinder.find_spec(name, [*sys.path, str(Path.cwd())])
    for word in inner:
        if found is None or found.submodule_search_locations is None:
            return False
        name += f".{word}"
        found = PathFinder.find_spec(name, found.submodule_search_locations)
    return found is not None


def _weights(submission: Submission, trainer: str, here: Standpoint) -> str:
    expected, stored = submission.model_sha256, Path(submission.model)
    if trainer not in BUILT_IN or expected is None:
        return submission.model
    projects = [submission.runs.parent, *here.folders]
    places = [stored, *(folder / paths.WEIGHTS / stored.name for folder in projects)]
    places += [folder / stored.name for folder in projects]
    for file in places:
        if _sha256(file) == expected:
            return str(file)
    if stored.name not in ASSETS:
        raise NotHere(
            f"its weights are not here: neither {stored} nor a file of that name in "
            f"{here.current / paths.WEIGHTS} has the SHA-256 {expected[:12]}; put them there"
        )
    try:
        return resolve_weights(
            stored.name, here.current / paths.WEIGHTS, expected_sha256=expected
        ).path
    except SweepError as error:
        raise NotHere(f"its weights are not here, and cannot be fetched: {error}") from error


def _sha256(file: Path) -> str | None:
    try:
        found = file.stat()
        return _digest(file, found.st_size, found.st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=64)
def _digest(file: Path, _size: int, _changed_ns: int) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
