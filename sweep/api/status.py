"""How far a sweep is."""

import math
from collections import Counter
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine

from storage.errors import DatabaseGone, SweepNotFound
from storage.snapshot.reader import read_summary, read_sweep
from storage.snapshot.records import SlotRecord, StageRecord, SweepRecord, SweepSummary
from storage.states import SlotState, StageState
from sweep.api.best import best_model, hints_as_json
from sweep.api.database import errors_of_sweep, look
from sweep.api.disk import LOOK_S, disk_of_sweep
from sweep.api.plain import plain
from sweep.api.results import Trial, results_of
from sweep.report.hints import hints
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.plan import kind_of
from sweep.stages.ranking import best_slot, score
from sweep.training.contract import Objective
from sweep.worker.faults import told

_NOT_COMPLETE = (SlotState.FAILED, SlotState.CANCELLED, SlotState.PRUNED)
_LIVE_S = 120.0
"""A worker gives signs of life more often; one that gave none for so long is counted no more."""


def status(name: str, *, storage: str | None = None, trials: bool = False) -> dict[str, Any]:
    """Return how far a sweep is, as `sweep status NAME --json` prints it: plain JSON values.

    Args:
        name: The sweep.
        storage: URL of the database. None: as SWEEP_STORAGE says, else `sqlite:///sweep.db`.
        trials: Whether to tell of every trial, too, as `--trials` does: the best first.

    Raises:
        InputError: If there is no sweep of this name, or no database that can serve.

    >>> from pathlib import Path
    >>> import sweep
    >>> _ = Path("rates.yaml").write_text('''
    ... name: rates
    ... trainer: sweep.testing:instant_trainer
    ... search: {epochs: 2, space: {lr0: [0.1, 0.01]}}
    ... ''')
    >>> found = sweep.status(sweep.submit("rates.yaml"))
    >>> found["state"], found["stages"][0]["counts"]["queued"]
    ('active', 2)
    """
    with errors_of_sweep():
        return status_of(look(storage), name, trials=trials)


def status_of(
    engine: Engine, name: str, *, trials: bool = False, disk_s: float = LOOK_S
) -> dict[str, Any]:
    """Return how far a sweep is, as plain JSON values; why not, where it cannot be read.

    Args:
        engine: The database.
        name: The sweep.
        trials: Whether to tell of every trial, too.
        disk_s: How long to look at the disk, in seconds.
    """
    try:
        return _status(engine, name, trials=trials, disk_s=disk_s)
    except (DatabaseGone, SweepNotFound):
        raise
    except Exception as error:
        return {"name": name, "state": "unreadable", "error": told(error)}


def _status(engine: Engine, name: str, *, trials: bool, disk_s: float) -> dict[str, Any]:
    record, counted = read_sweep(engine, name), read_summary(engine, name)
    objective: Objective = record.spec["objective"]
    best, disk = best_model(record), disk_of_sweep(engine, name, limit_s=disk_s)
    by_id = {slot.id: slot for stage in record.stages for slot in stage.slots}
    found: dict[str, Any] = {
        "name": record.name,
        "state": str(record.state),
        "served": served(counted),
        "priority": record.priority,
        "submitted": record.created_at.isoformat(timespec="seconds"),
        "objective": objective,
        "spec_hash": record.spec_hash,
        "dataset": str(record.dataset or ""),
        "stages": [_stage(stage, objective) for stage in record.stages],
        "best": None if best is None else best.as_json(),
        "hints": hints_as_json(hints(record)),
        "unreadable": list(record.unreadable),
        "time_left_s": time_left_s(counted),
        "disk_bytes": disk.bytes,
        "disk_complete": disk.complete,
        "workers": [
            {
                "id": worker.id,
                "host": worker.host,
                "device": worker.device,
                "trial": None if worker.slot is None else by_id[worker.slot].trial_number,
                "epoch": None if worker.slot is None else len(by_id[worker.slot].epochs),
                "last_seen_s": round(worker.last_seen_s, 1),
            }
            for worker in record.workers
            if worker.slot is None or worker.slot in by_id
        ],
    }
    if trials:
        found["trials"] = [asdict(trial) for trial in by_score(record)]
    return {name: plain(value) for name, value in found.items()}


def by_score(record: SweepRecord) -> list[Trial]:
    """Return a sweep's trials by stage: the best first, then those without a score, begun first."""
    objective: Objective = record.spec["objective"]
    places = {stage.name: place for place, stage in enumerate(record.stages)}

    def order(trial: Trial) -> tuple[int, float, bool, int]:
        scored = getattr(trial, objective)
        begun = trial.number is not None
        return (
            places[trial.stage],
            math.inf if scored is None or math.isnan(scored) else -scored,
            not begun,
            trial.number or 0,
        )

    return sorted(results_of(record).trials, key=order)


def served(found: SweepSummary) -> bool:
    """Whether a worker is at the sweep, or waits for what it may bring.

    One that idles while trials are queued serves others.
    """
    queued = sum(stage.counts[SlotState.QUEUED] for stage in found.stages)
    return any(
        worker.last_seen_s < _LIVE_S and (worker.slot is not None or not queued)
        for worker in found.workers
    )


def time_left_s(found: SweepSummary) -> float | None:
    """Estimate the seconds until the sweep is done; None before the first epoch or without workers.

    Epochs left over all stages, times the mean seconds of the latest, over the live workers.
    """
    if found.epoch_s is None or not found.workers:
        return None
    left = 0
    for stage in found.stages:
        if stage.state is StageState.WAITING:
            expected = kind_of(stage.name).expected_slots(SweepSpec.model_validate(found.spec))
            left += expected * stage.epochs
        else:
            running = [slot for slot in stage.moving if slot.state is SlotState.RUNNING]
            left += stage.epochs * (stage.counts[SlotState.QUEUED] + len(running))
            left -= sum(slot.epochs_done for slot in running)
    return left * found.epoch_s / len(found.workers)


def _stage(stage: StageRecord, objective: Objective) -> dict[str, Any]:
    best = best_slot(stage.slots, objective)
    counts = Counter(slot.state for slot in stage.slots)
    return {
        "name": stage.name,
        "study": stage.study,
        "state": str(stage.state),
        "total": len(stage.slots),
        "counts": {str(state): counts[state] for state in SlotState},
        "attempts": dict(stage.endings),
        "failures": [_failure(slot) for slot in stage.slots if slot.state in _NOT_COMPLETE],
        "best": None
        if best is None
        else {
            "number": best.trial_number,
            "value": score(best, objective),
            "params": dict(best.params or {}),
        },
    }


def _failure(slot: SlotRecord) -> dict[str, Any]:
    """Return a trial that ended otherwise than complete, with the reason."""
    return {
        "number": slot.trial_number,
        "state": str(slot.state),
        "kind": slot.failure_kind,
        "attempts": slot.attempt,
        "message": slot.message,
    }
