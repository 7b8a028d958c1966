"""What the page shows of the record: the verdict, all trials, provenance."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import yaml

from sweep.pages.table import Cell, Table, number
from sweep.report.data import ReportData
from sweep.report.sections.models import score_table
from sweep.report.trials import MAP50, MAP50_95, Trial, setting, settings
from sweep.report.verdict import verdict


def verdict_section(data: ReportData) -> dict[str, Any]:
    """Return the head of the report."""
    found = verdict(data)
    scores = score_table(found.scores, f"Mean average precision on the {data.judged_on} split")
    return {"verdict": found, "scores": scores}


def trial_section(data: ReportData) -> dict[str, Any]:
    """Return the table of all trials of all stages."""
    names = list(
        dict.fromkeys([*data.space, *(name for trial in data.trials for name in trial.params)])
    )
    head = [
        *("trial", "stage", *names, "state", "reason", MAP50.title, MAP50_95.title),
        *(f"last {MAP50.title}", f"last {MAP50_95.title}", "best epoch", "epochs"),
        *("time (s)", "attempts", "worker", "ran with"),
    ]
    table = Table(
        head=head,
        rows=[_row(trial, names) for trial in data.trials],
        caption=f"All {len(data.trials)} trials; scores on the validation split",
        sortable=True,
    )
    return {"trials": table}


def _row(trial: Trial, names: list[str]) -> list[Cell | str]:
    slot, result = trial.slot, trial.result
    stage = trial.stage if slot.label is None else f"{trial.stage}, {slot.label}"
    return [
        Cell(text=trial.name, number=slot.trial_number, style="num"),
        stage,
        *(_setting(trial.params, name) for name in names),
        Cell(text=trial.state.value, style=f"state {trial.state.value}"),
        Cell(text=trial.reason, style="wide" if trial.reason else ""),
        number(trial.score(MAP50)),
        number(trial.score(MAP50_95)),
        number(result.get("last_map50")),
        number(result.get("last_map50_95")),
        number(result.get("best_epoch"), 0),
        number(len(trial.epochs), 0),
        number(trial.seconds if trial.epochs or result else None, 0),
        number(slot.attempt, 0),
        slot.worker or "",
        settings(result.get("effective", {})),
    ]


def _setting(params: Mapping[str, Any], name: str) -> Cell | str:
    if name not in params:
        return ""
    value = params[name]
    if isinstance(value, int | float) and not isinstance(value, bool):
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
    pairs.append(("Training time", _hours(data)))
    if shared := _shared(data):
        pairs.append(("Augmented images", shared))
    written = yaml.safe_dump(dict(sweep.spec), sort_keys=False, allow_unicode=True)
    return {"pairs": pairs, "spec": written}


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


def _hours(data: ReportData) -> str:
    """Return device hours, summed over trials, whatever ran at the same time."""
    total = sum(trial.seconds for trial in data.trials) / 3600
    search = sum(trial.seconds for trial in data.search) / 3600
    return f"{total:.2f} device hours over all trials, {search:.2f} of them in the search"
