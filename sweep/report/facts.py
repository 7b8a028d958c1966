"""The numbers of the first screen: score, gain over the baseline, where the model is, cost."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sweep.pages.table import NOTHING, signed_text
from sweep.paths import best_settings, best_weights
from sweep.report.data import ReportData
from sweep.report.figures.comparison import Comparison
from sweep.report.trials import MAP50, MAP50_95
from sweep.stages.best import best_training
from sweep.stages.retrain import BASELINE, BEST
from sweep.worker.best_files import are_written


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One number or place, in plain text."""

    name: str
    value: str
    detail: str
    """What it is measured on, or why it is not known."""
    is_path: bool = False


def facts(data: ReportData, compared: Comparison | None) -> tuple[Fact, ...]:
    """Return what is known of a sweep, the most wanted first."""
    return (
        *_score(data),
        *_gain(data, compared),
        *_model(data),
        *_cost(data),
    )


def _score(data: ReportData) -> Iterator[Fact]:
    best, stage = data.best, data.search_stage
    if best is None or stage is None:
        return
    other = MAP50 if data.objective is MAP50_95 else MAP50_95
    yield Fact(
        name=f"{data.objective.title} of the best trial",
        value=best.score_text(data.objective),
        detail=f"trial {best.name}, epoch {best.result.get('best_epoch', '?')} of {stage.epochs}, "
        f"validation split; {other.title} {best.score_text(other)}",
    )


def _gain(data: ReportData, compared: Comparison | None) -> Iterator[Fact]:
    if data.retrain_stage is None or compared is None:
        return
    name = "Gain over the baseline"
    pair = next(score.pair for score in compared.scores if score.name == data.objective.title)
    if pair.difference is None:
        label, found = (BEST, pair.best) if pair.baseline is None else (BASELINE, pair.baseline)
        other = BASELINE if label == BEST else BEST
        yield Fact(
            name=name,
            value=NOTHING,
            detail=f"{label} has {data.objective.title} {found:.3f} on the {compared.split} split; "
            f"{other}: {data.missing(other)}",
        )
        return
    yield Fact(
        name=name,
        value=signed_text(pair.difference),
        detail=f"{data.objective.title} {pair.baseline:.3f} to {pair.best:.3f} on the "
        f"{compared.split} split, {compared.images} images",
    )


def _model(data: ReportData) -> Iterator[Fact]:
    """Yield where the weights of the recommended model are, and its settings."""
    best = best_training(data.sweep.stages, data.objective.key)
    if best is None:
        return
    runs, name = data.sweep.runs, data.sweep.name
    result = best.slot.result or {}
    detail = (
        f"trial {best.slot.trial_number} of {best.stage.name}, {result.get('epochs', '?')} epochs"
    )
    weights = result.get("checkpoint")
    if are_written(data.sweep, best):
        detail += f"; settings: {_from_project(best_settings(runs, name), runs)}"
        kept = best_weights(runs, name)
        weights = kept if kept.is_file() else weights
    if weights:
        path = _from_project(Path(weights), runs)
        yield Fact(name="Model", value=path, detail=detail, is_path=True)


def _from_project(path: Path, runs: Path) -> str:
    """Return a path from the folder that the runs lie in, where it is below that."""
    found = os.path.relpath(path, runs.parent)
    return str(path) if found.startswith(os.pardir) else found


def _cost(data: ReportData) -> Iterator[Fact]:
    epochs = sum(len(trial.epochs) for trial in data.trials)
    if not epochs:
        return
    seconds = sum(trial.seconds for trial in data.trials)
    searched = sum(len(trial.epochs) for trial in data.search)
    yield Fact(
        name="Cost so far" if any(not trial.state.final for trial in data.trials) else "Cost",
        value=f"{epochs:,} {'epoch' if epochs == 1 else 'epochs'}",
        detail=f"{duration(seconds)} of device time over {len(data.trials):,} trials; "
        f"{searched:,} epochs in the search",
    )


def duration(seconds: float) -> str:
    """Return a time as people say it: `41 s`, `3.5 min`, `2.4 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
