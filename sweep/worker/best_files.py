"""What a user takes home of a sweep: `best.pt`, and `best.yaml`, its settings."""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import Engine

from storage.snapshot.records import SweepRecord
from sweep import paths
from sweep.files.atomic_write import atomic_write, write_file
from sweep.files.lock import Held, lock
from sweep.spec.value import as_given
from sweep.stages.best import BestTraining, best_training
from sweep.stages.ranking import score
from sweep.training.registry import BUILT_IN
from sweep.worker.places import read_here

_ARGUMENTS = "args.yaml"
"""All settings of a training, as Ultralytics writes them into its run folder."""
_OF_THE_RUN = ("project", "name", "exist_ok", "save_dir", "device", "resume", "cfg")
"""Settings that say where a training ran and wrote, not how it trained."""
_LOCK_S = 20.0
"""How long to wait for another who brings them up to date; `sweep best` and `sweep run` do so too.
"""
_FIRST = (
    "task",
    "mode",
    "model",
    "data",
    "epochs",
    "optimizer",
    "lr0",
    "momentum",
    "imgsz",
    "batch",
)

log = logging.getLogger(__name__)


def write_best(engine: Engine, name: str) -> bool:
    """Bring a sweep's `best.pt` and `best.yaml` up to date; False where that cannot be done here.

    Each file is whole or as it was before. Whoever comes last has read last, so a worker that is
    late does not put the search's model in the place of the retrained one.
    """
    runs = read_here(engine, name).runs
    if not runs.is_dir():  # another machine's
        return False
    try:
        with lock(runs / name / paths.BEST_LOCK, within_s=_LOCK_S):
            record = read_here(engine, name)
            best = best_training(record.stages, record.spec["objective"])
            if best is not None and not _up_to_date(record, best):
                _write(record, best)
    except (OSError, NotImplementedError, Held) as error:  # no room, weights elsewhere, no locks
        log.warning("%s: %s is not written: %s", name, paths.BEST_WEIGHTS, error)
        return False
    return True


def are_written(record: SweepRecord, best: BestTraining) -> bool:
    """Whether `best.yaml`, and `best.pt` where the trainer kept weights, are of this training."""
    weights = paths.best_weights(record.runs, record.name)
    try:
        found = paths.best_settings(record.runs, record.name).read_text()
    except OSError:
        return False
    kept = (best.slot.result or {}).get("checkpoint") is not None
    return found.startswith(_head(record, best)) and (weights.is_file() or not kept)


def _up_to_date(record: SweepRecord, best: BestTraining) -> bool:
    if not are_written(record, best):
        return False
    if not _ran_with(record, best):  # its run folder was removed since: there is nothing newer
        return True
    return paths.best_settings(record.runs, record.name).read_text() == _text(record, best)


def _write(record: SweepRecord, best: BestTraining) -> None:
    weights = paths.best_weights(record.runs, record.name)
    checkpoint = _checkpoint(record, best)
    if checkpoint is None:
        weights.unlink(missing_ok=True)  # of a sweep that had this name before
    else:
        with checkpoint.open("rb") as source, atomic_write(weights) as file:
            shutil.copyfileobj(source, file)
    # Last, for it says which training both are of.
    write_file(paths.best_settings(record.runs, record.name), _text(record, best).encode())


def _head(record: SweepRecord, best: BestTraining) -> str:
    """Return the comment that no other training's file has."""
    objective = record.spec["objective"]
    return (
        f"# sweep {record.name}, {best.stage.name}, trial {best.slot.trial_number}: "
        f"{objective} {score(best.slot, objective):.6g} on the validation split\n"
        f"# complete {best.slot.finished_at:%Y-%m-%d %H:%M:%S.%f} UTC\n"
    )


def _text(record: SweepRecord, best: BestTraining) -> str:
    return _head(record, best) + yaml.safe_dump(best_settings(record, best), sort_keys=False)


def best_settings(record: SweepRecord, best: BestTraining) -> dict[str, Any]:
    """Return all settings of a training, as `yolo train cfg=` takes them; the searched ones too."""
    spec, params = record.spec, as_given(best.slot.params or {})
    known = {**spec.get("train", {}), **params, "epochs": best.stage.epochs, "model": record.model}
    if spec.get("trainer", "ultralytics") in BUILT_IN:
        known = {"task": "detect", "mode": "train", **_ran_with(record, best), **known}
        if record.dataset is not None:
            known["data"] = str(record.dataset / "data.yaml")
    order = dict.fromkeys([*_FIRST, *params, *known])
    return {name: known[name] for name in order if name in known and name not in _OF_THE_RUN}


def _ran_with(record: SweepRecord, best: BestTraining) -> Mapping[str, Any]:
    """Read what Ultralytics noted of a training; empty where that is not here."""
    checkpoint = _checkpoint(record, best)
    if checkpoint is None:
        return {}
    try:
        found = yaml.safe_load((checkpoint.parent.parent / _ARGUMENTS).read_text())
    except (OSError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _checkpoint(record: SweepRecord, best: BestTraining) -> Path | None:
    """Return a training's weights, also where the project was moved; None if it kept none."""
    stored = (best.slot.result or {}).get("checkpoint")
    if stored is None:
        return None
    path = Path(stored)
    if path.is_file():
        return path
    folders = paths.RunFolders(
        runs=record.runs,
        sweep=record.name,
        stage=best.stage.name,
        slot=best.slot.id,
        number=best.slot.trial_number,
        label=best.slot.label,
    )
    here = folders.all_attempts.get(best.slot.attempt)
    return path if here is None else here.joinpath(*path.parts[-2:])
