"""What the page shows of the record: the verdict, all trials, provenance."""

from collections import Counter
from collections.abc import Mapping
from math import isfinite
from typing import Any

import yaml

from storage.snapshot.records import SweepRecord
from sweep.errors import InputError
from sweep.pages.table import Cell, Table, number
from sweep.paths import sweep_file
from sweep.report.data import ReportData
from sweep.report.facts import duration
from sweep.report.trials import METRICS, Metric, Trial, setting, settings
from sweep.report.verdict import verdict
from sweep.spec.sweep_file import SweepSpec

_ENVIRONMENT = {
    "detsweep": "detsweep",
    "Ultralytics": "ultralytics",
    "PyTorch": "torch",
    "Device": "device",
}
"""What the page calls the parts of `TrialResult.environment`."""


def verdict_section(data: ReportData) -> dict[str, Any]:
    """Return the head of the report."""
    return {"verdict": verdict(data)}


def trial_section(data: ReportData) -> dict[str, Any]:
    """Return the table of all trials of all stages, the highest objective first."""
    names = list(
        dict.fromkeys([*data.space, *(name for trial in data.trials for name in trial.params)])
    )
    metrics = sorted(METRICS, key=lambda metric: metric is not data.objective)
    head = [
        *("trial", *(metric.title for metric in metrics), *names, "stage", "state", "reason"),
        *(f"last {metric.title}" for metric in metrics),
        *("best epoch", "epochs", "time (s)", "attempts", "worker", "ran with"),
    ]
    trials = sorted(data.trials, key=lambda trial: _rank(trial, data.objective))
    best = [data.best is not None and trial.slot.id == data.best.slot.id for trial in trials]
    table = Table(
        head=head,
        rows=[_row(trial, names, metrics) for trial in trials],
        caption=f"All {len(data.trials)} trials; scores on the validation split",
        sortable=True,
        sorted_by=data.objective.title,
        best=best.index(True) if True in best else None,
        filterable=True,
    )
    return {"trials": table}


def _rank(trial: Trial, objective: Metric) -> tuple[bool, float]:
    score = trial.score(objective)
    return score is None, -(score or 0.0)


def _row(trial: Trial, names: list[str], metrics: list[Metric]) -> list[Cell | str]:
    slot, result = trial.slot, trial.result
    stage = trial.stage if slot.label is None else f"{trial.stage}, {slot.label}"
    return [
        Cell(text=trial.name, number=slot.trial_number, style="num"),
        *(number(trial.score(metric)) for metric in metrics),
        *(_setting(trial.params, name) for name in names),
        stage,
        Cell(text=trial.state.value, style=f"state {trial.state.value}"),
        Cell(text=trial.reason, style="wide" if trial.reason else ""),
        *(number(result.get(f"last_{metric.key}")) for metric in metrics),
        number(result.get("best_epoch"), 0),
        number(len(trial.epochs), 0),
        number(trial.seconds if trial.epochs or result else None, 0),
        number(slot.attempt, 0),
        slot.worker or "",
        Cell(text=settings(result.get("effective", {}))),
    ]


def _setting(params: Mapping[str, Any], name: str) -> Cell | str:
    if name not in params:
        return ""
    value = params[name]
    if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
        return Cell(text=setting(value), number=float(value), style="num")
    return setting(value)


def provenance_section(data: ReportData) -> dict[str, Any]:
    """Return what the numbers rest on: dataset, settings, work done."""
    sweep = data.sweep
    pairs = [
        ("Sweep", f"{sweep.name}, {sweep.state.value}"),
        ("Submitted", f"{sweep.created_at:%Y-%m-%d %H:%M} UTC"),
        ("Sweep file", f"hash {sweep.spec_hash[:16]}"),
        ("Dataset", _dataset_name(data)),
    ]
    if data.dataset is not None:
        images, boxes = data.dataset.images_per_split, data.dataset.boxes_per_split
        pairs += [
            ("Images", ", ".join(f"{split} {count}" for split, count in images.items())),
            ("Boxes", ", ".join(f"{split} {count}" for split, count in boxes.items())),
        ]
    for stage in sweep.stages:
        states = Counter(slot.state.value for slot in stage.slots)
        counts = ", ".join(f"{count} {state}" for state, count in states.items())
        pairs.append((f"Trials, {stage.name}", counts or "not begun"))
    pairs.append(("Training time", _time(data)))
    if anew := _begun_anew(data):
        pairs.append(("Begun anew", anew))
    if shared := _shared(data):
        pairs.append(("Augmented images", shared))
    pairs += [(name, _used(data, key)) for name, key in _ENVIRONMENT.items()]
    written = _as_written(sweep)
    return {
        "pairs": pairs,
        "written": written is not None,
        "spec": written or yaml.safe_dump(dict(sweep.spec), sort_keys=False, allow_unicode=True),
    }


def _begun_anew(data: ReportData) -> str:
    """Tell of the trials whose epochs are not those of their first attempt; empty without any."""
    found = [
        f"trial {trial.name} of {trial.stage} in attempt {trial.slot.epochs_from}"
        for trial in data.trials
        if trial.slot.epochs_from is not None
    ]
    if not found:
        return ""
    return (
        f"{', '.join(found)}: could not go on from the epochs before (another kind of device, or "
        "other versions), which were replaced as a whole"
    )


def _used(data: ReportData, key: str) -> str:
    """Return what completed trials ran with, the most frequent first."""
    found = Counter(
        trial.result.get("environment", {}).get(key, "unknown")
        for trial in data.trials
        if trial.result
    )
    if len(found) < 2:
        return next(iter(found), "unknown")
    return ", ".join(f"{value} ({count} trials)" for value, count in found.most_common())


def _as_written(sweep: SweepRecord) -> str | None:
    """Return the text of the sweep file; None where it is not kept, or says something else now."""
    path = sweep_file(sweep.runs, sweep.name)
    try:
        if SweepSpec.load(path).hash() == sweep.spec_hash:
            return path.read_text()
    except (InputError, OSError):
        pass
    return None


def _dataset_name(data: ReportData) -> str:
    if not data.sweep.dataset:
        return "none"
    name = data.dataset.name if data.dataset else data.sweep.spec.get("dataset")
    return f"{name}, fingerprint {data.sweep.fingerprint}"


def _shared(data: ReportData) -> str:
    """Return how many images completed trials had no need to make; empty where none was loaded."""
    loaded = sum(trial.result.get("images_loaded", 0) for trial in data.trials)
    read = sum(trial.result.get("images_shared", 0) for trial in data.trials)
    if not loaded:
        return ""
    return (
        f"{read} of {loaded} ({read / loaded:.0%}) that completed trials trained on were read from "
        "the image cache instead of made"
    )


def _time(data: ReportData) -> str:
    """Return device time, summed over trials, whatever ran at the same time."""
    total = duration(sum(trial.seconds for trial in data.trials))
    search = duration(sum(trial.seconds for trial in data.search))
    return f"{total} of device time over all trials, {search} of it in the search"
