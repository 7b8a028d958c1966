"""What came out, in sentences that claim no more than was measured."""

from collections import Counter
from dataclasses import dataclass

from storage.states import SlotState
from sweep.paths import best_settings, best_weights
from sweep.report.data import ReportData
from sweep.report.figures.comparison import Comparison, Pair, Score, comparison
from sweep.report.hints import hints
from sweep.report.trials import MAP50, MAP50_95, settings
from sweep.stages.best import best_training
from sweep.stages.retrain import BASELINE
from sweep.worker.best_files import are_written


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The head of the report, in plain text."""

    title: str
    headline: str
    """The best setting."""
    search: str
    """How it was found."""
    model: str
    """Where the best model and its settings are; empty where they are not here."""
    test: str
    """What the retrained models came to where they are judged, or why that is not known."""
    caveats: tuple[str, ...]
    """What a reader must know before relying on it."""
    scores: tuple[Score, ...]
    """mAP50 and mAP50-95 of baseline and best by both judges; empty without an evaluation."""


def verdict(data: ReportData) -> Verdict:
    """Sum a sweep up."""
    compared = comparison(data.judged)
    waiting = any(not trial.state.final for trial in data.search)
    return Verdict(
        title="Best setting so far" if data.best and waiting else "Best setting",
        headline=_headline(data),
        search=_search(data),
        model=_model(data),
        test=_test(data, compared),
        caveats=_caveats(data, compared),
        scores=()
        if compared is None
        else tuple(
            score for score in compared.scores if score.name in (MAP50.title, MAP50_95.title)
        ),
    )


def _headline(data: ReportData) -> str:
    if data.best is not None:
        return settings(data.best.params) or "The fixed settings"
    if any(trial.state is SlotState.COMPLETE for trial in data.search):
        waiting = any(not trial.state.final for trial in data.search)
        return "No trial has scored above 0 yet" if waiting else "Nothing was learned"
    return "No trial has completed yet"


def _search(data: ReportData) -> str:
    stage, best = data.search_stage, data.best
    if stage is None or best is None:
        return f"The search has {len(data.search)} trials."
    complete = sum(trial.state is SlotState.COMPLETE for trial in data.search)
    return (
        f"Highest {data.objective.title} of {complete} completed trials (trial {best.name}): "
        f"{MAP50.title} {best.score(MAP50):.3f} and {MAP50_95.title} {best.score(MAP50_95):.3f} on "
        f"the validation split, at epoch {best.result['best_epoch']} of {stage.epochs}."
    )


def _model(data: ReportData) -> str:
    best = best_training(data.sweep.stages, data.objective.key)
    if best is None or not are_written(data.sweep, best):
        return ""
    runs, name = data.sweep.runs, data.sweep.name
    weights, settings_file = best_weights(runs, name), best_settings(runs, name)
    trial = f"trial {best.slot.trial_number} of {best.stage.name}"
    where = f"{settings_file} has the settings of {trial}."
    return f"The model is {weights}; {where}" if weights.is_file() else where


def _test(data: ReportData, compared: Comparison | None) -> str:
    stage = data.retrain_stage
    if stage is None:
        return "This sweep retrains nothing, so nothing was judged on the test split."
    if not stage.slots:
        return "Baseline and best setting are retrained when the search is done."
    labels = [str(run.trial.slot.label) for run in data.retrained]
    gaps = [f"{label}: {why}" for label in labels if (why := data.missing(label))]
    if gaps or compared is None:
        return f"There is no comparison on the {data.judged_on} split: {'; '.join(gaps)}."
    objective = next(score for score in compared.scores if score.name == data.objective.title)
    judged = (
        f"Retrained for {stage.epochs} epochs and judged on the {compared.split} split "
        f"({compared.images} images), the {'best setting' if data.best else 'first setting tried'}"
    )
    baseline = data.run(BASELINE)
    if baseline is None:
        value = f"{objective.pair.best or 0.0:.3f}"
        return f"{judged} has {data.objective.title} {value}; no baseline was trained beside it."
    return (
        f"{judged} {_outcome(objective.pair)} the baseline ({settings(baseline.trial.params)}) in "
        f"{data.objective.title}."
    )


def _outcome(pair: Pair) -> str:
    difference = pair.difference or 0.0
    if round(difference, 3) == 0:
        return "equals"
    how = "above" if difference > 0 else "below"
    return f"is {abs(difference):.3f} {how}"


def _caveats(data: ReportData, compared: Comparison | None) -> tuple[str, ...]:
    found = []
    total = len(data.search)
    states = Counter(trial.state for trial in data.search)
    waiting = states[SlotState.QUEUED] + states[SlotState.RUNNING]
    if waiting:
        found.append(
            f"The search is not finished: {total - waiting} of {total} trials are settled, "
            "so the best setting may change."
        )
    without = [
        f"{states[state]} {state}"
        for state in (SlotState.PRUNED, SlotState.FAILED, SlotState.CANCELLED)
        if states[state]
    ]
    if without:
        found.append(f"Without a score: {', '.join(without)} of {total} search trials.")
    if compared is not None and compared.split == "val":
        found.append(
            "There is no test split: both models were judged on the validation split, which chose "
            "the best setting and each model's best epoch, so their scores are too high, and "
            "those of the best setting more so."
        )
    if compared is not None and len(data.judged) == 2:
        found.append(
            f"Baseline and best are one training run each (seed {data.sweep.spec.get('seed', 0)}) "
            f"on {compared.images} images: the difference carries the chance of both runs and of "
            "the choice of images, and no interval is given for it."
        )
    return (*found, *(hint.text for hint in hints(data.sweep)))
