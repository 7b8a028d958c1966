"""What optuna-dashboard shows of a study and of each trial beside the numbers: Markdown."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.queue.slots import Slot
from storage.snapshot.records import StageRecord
from sweep import paths
from sweep.spec.space import settings_line
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.base import Stage
from sweep.stages.ranking import best_slot, score


def study_note(
    spec: SweepSpec, runs: Path, stage: str, kind: Stage, *, state: str = "begun"
) -> str:
    """Say what a stage's study asks, how far it is, and where everything lies."""
    lines = [
        f"**{spec.name}, {stage}**: {kind.question(spec)}",
        f"State: {state}",
        f"Report: `{paths.report_page(runs, spec.name)}`",
        f"Log and weights of each trial: below `{runs / spec.name / stage}`",
        f"Best model and its settings: `{paths.best_weights(runs, spec.name)}`, "
        f"`{paths.best_settings(runs, spec.name)}`",
    ]
    if kind.searches:
        lines.append(
            "Importance is by PED-ANOVA here and by fANOVA in the report, so the shares differ: "
            "the one says what sets the best trials apart, the other what moves the score at all."
        )
    return "\n\n".join(lines)


def how_it_ended(spec: SweepSpec, stage: StageRecord) -> str:
    """Say what a stage came to, once every slot is final."""
    counts = Counter(str(slot.state) for slot in stage.slots)
    ended = ", ".join(f"{count} {state}" for state, count in counts.items()) or "nothing to do"
    best = best_slot(stage.slots, spec.objective)
    if best is None:
        return f"over: {ended}"
    value = f"{spec.objective} {score(best, spec.objective):.3f}"
    name = (
        f"{best.label}, trial {best.trial_number}" if best.label else f"trial {best.trial_number}"
    )
    return f"over: {ended}; highest: {name}, {value}, `{settings_line(best.params or {})}`"


def trial_note(
    slot: Slot,
    report: Path,
    *,
    params: Mapping[str, Any],
    state: str,
    folder: Path,
    weights: Path | None,
) -> str:
    """Say what a trial is, how it stands, and where its log and weights are.

    Args:
        slot: The trial's slot.
        report: The sweep's report.
        params: The trial's settings.
        state: How it stands, in words.
        folder: Where its latest attempt writes.
        weights: Where its best weights are; None where it keeps none.
    """
    lines = [
        f"**{slot.label or 'trial'}** of {slot.study}: `{settings_line(params)}`",
        f"State: {state}",
        f"Log: `{folder / paths.LOG}`",
        *([] if weights is None else [f"Weights: `{weights}`"]),
        f"Report: `{report}`",
    ]
    return "\n\n".join(lines)
