"""What came out, in sentences that claim no more than was measured."""

from collections import Counter
from dataclasses import dataclass

from storage.states import SlotState
from sweep.report.data import ReportData
from sweep.report.facts import Fact, facts
from sweep.report.figures.comparison import Comparison, Pair, comparison
from sweep.report.hints import hints
from sweep.report.trials import MAP50, MAP50_95, settings
from sweep.stages.retrain import BASELINE

_REASONS = 3
"""Different reasons that the head of the report names."""
_ENDINGS = {
    SlotState.PRUNED: "ended pruned",
    SlotState.FAILED: "failed",
    SlotState.CANCELLED: "ended cancelled",
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The head of the report, in plain text."""

    title: str
    headline: str
    """The best setting, or why there is none."""
    facts: tuple[Fact, ...]
    search: str
    """How it was found, or why the trials failed."""
    test: str
    """What the retrained models came to where they are judged, or why that is not known."""
    caveats: tuple[str, ...]
    """What a reader must know before relying on it."""


def verdict(data: ReportData) -> Verdict:
    """Sum a sweep up."""
    compared = comparison(data.judged)
    return Verdict(
        title=_title(data),
        headline=_headline(data),
        facts=facts(data, compared),
        search=_search(data),
        test=_test(data, compared),
        caveats=_caveats(data, compared),
    )


def _waiting(data: ReportData) -> bool:
    return any(not trial.state.final for trial in data.search)


def _title(data: ReportData) -> str:
    if data.best is None:
        return "Result"
    return "Best setting so far" if _waiting(data) else "Best setting"


def _headline(data: ReportData) -> str:
    if data.best is not None:
        return settings(data.best.params) or "The fixed settings"
    if _waiting(data) or not data.search:
        done = any(trial.state is SlotState.COMPLETE for trial in data.search)
        return "No trial has scored above 0 yet" if done else "No trial has completed yet"
    states = {trial.state for trial in data.search}
    if SlotState.COMPLETE in states:
        return "Nothing was learned"
    if len(states) > 1:
        return "No trial of the search has a score"
    ending = _ENDINGS[states.pop()]
    total = len(data.search)
    return f"{f'All {total} trials' if total > 1 else 'The only trial'} of the search {ending}"


def _search(data: ReportData) -> str:
    stage, best = data.search_stage, data.best
    if stage is None or best is None:
        return _reasons(data) or f"The search has {_counted(len(data.search))}."
    complete = sum(trial.state is SlotState.COMPLETE for trial in data.search)
    return (
        f"Highest {data.objective.title} of {complete} completed trials (trial {best.name}): "
        f"{MAP50.title} {best.score_text(MAP50)} and {MAP50_95.title} "
        f"{best.score_text(MAP50_95)} on the validation split, at epoch "
        f"{best.result.get('best_epoch', '?')} of {stage.epochs}."
    )


def _reasons(data: ReportData) -> str:
    """Say why trials ended without a score, the most frequent reason first."""
    found = Counter(trial.reason for trial in data.search if trial.reason)
    if not found:
        return ""
    listed = [f"{reason} ({_counted(count)})" for reason, count in found.most_common(_REASONS)]
    more = sum(found.values()) - sum(count for _, count in found.most_common(_REASONS))
    return "Why: " + "; ".join([*listed, *([f"other reasons ({_counted(more)})"] if more else [])])


def _counted(count: int) -> str:
    return f"{count} {'trial' if count == 1 else 'trials'}"


def _test(data: ReportData, compared: Comparison | None) -> str:
    stage = data.retrain_stage
    if stage is None:
        return "This sweep retrains nothing, so nothing was judged on the test split."
    if not stage.slots and data.best is None and not _waiting(data):
        return "No trial of the search gave a setting to retrain."
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
