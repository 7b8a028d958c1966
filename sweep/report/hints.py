"""What a user should know before relying on a sweep's best setting, and what to try next."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from storage.snapshot.records import SlotRecord, SweepRecord
from storage.states import SlotState
from sweep.evaluation.result import Evaluation
from sweep.report.edges import edges
from sweep.report.noise import noise
from sweep.report.trials import TITLES
from sweep.stages.best import best_training
from sweep.stages.plan import kind_of
from sweep.stages.ranking import best_slot, score
from sweep.stages.retrain import BASELINE, BEST
from sweep.training.contract import Objective
from sweep.training.registry import BUILT_IN


@dataclass(frozen=True, kw_only=True)
class Hint:
    """One thing to know, in a sentence or two of plain text."""

    kind: Literal["unreadable", "nothing_learned", "edge", "noise", "baseline"]
    text: str


def hints(sweep: SweepRecord) -> tuple[Hint, ...]:
    """Return what is worth knowing of a sweep whose search is over.

    Before that, only whether rows of the database cannot be read.
    """
    text = unreadable_text(sweep.unreadable)
    spoilt = (Hint(kind="unreadable", text=text),) if text else ()
    return spoilt + _of_search(sweep)


def unreadable_text(rows: Sequence[str]) -> str:
    """Say that rows of the database are left out, and name the first; empty where none are."""
    if not rows:
        return ""
    count = f"{len(rows)} rows" if len(rows) > 1 else "1 row"
    return (
        f"Left out, because the database holds what this program did not write: {count}, "
        f"the first of them {rows[0]}. Mend the database, or bring back a copy of it."
    )


def _of_search(sweep: SweepRecord) -> tuple[Hint, ...]:
    search = next((stage for stage in sweep.stages if kind_of(stage.name).searches), None)
    if search is None or not all(slot.state.final for slot in search.slots):
        return ()
    complete = [slot for slot in search.slots if slot.state is SlotState.COMPLETE]
    objective: Objective = sweep.spec["objective"]
    best = best_slot(complete, objective)
    if best is None:
        return (_nothing_learned(sweep, complete),) if complete else ()
    return (
        *(Hint(kind="edge", text=text) for text in edges(sweep, best)),
        *(Hint(kind="noise", text=text) for text in noise(complete, best, objective)),
        *(Hint(kind="baseline", text=text) for text in _baseline(sweep, objective)),
    )


def _nothing_learned(sweep: SweepRecord, complete: Sequence[SlotRecord]) -> Hint:
    ways = ["more epochs"]
    if sweep.spec.get("trainer") in BUILT_IN and not sweep.model.endswith(".pt"):
        ways.append("weights to start from (model: yolov8n.pt)")
    if sweep.dataset is not None:
        ways.append(f"a look at the labels ({sweep.dataset / 'preview.html'})")
    text = (
        f"Nothing was learned: no completed trial of the search ({len(complete)} in all) scored "
        f"above 0, so no setting is the best. What may help: {', '.join(ways)}."
    )
    if any(slot.label == BEST for stage in sweep.stages for slot in stage.slots):
        text += f" What was retrained as `{BEST}` is only the setting tried first."
    return Hint(kind="nothing_learned", text=text)


def _baseline(sweep: SweepRecord, objective: Objective) -> Iterator[str]:
    """Yield a sentence where the retrained best setting did not beat the baseline beside it."""
    best = best_training(sweep.stages, objective)
    if best is None or best.slot.label != BEST:
        return
    beside = best_slot((slot for slot in best.stage.slots if slot.label == BASELINE), objective)
    if beside is None:
        return
    judged = [_evaluation(slot) for slot in (beside, best.slot)]
    if judged[0] is None or judged[1] is None:
        baseline, found = score(beside, objective), score(best.slot, objective)
        split = "val"
    else:
        baseline, found = (float(getattr(one.ultralytics, objective)) for one in judged if one)
        split = judged[1].split
    if baseline <= found:
        return
    checkpoint = (beside.result or {}).get("checkpoint")
    weights = f"; its weights: {checkpoint}" if checkpoint else ""
    yield (
        f"The baseline did better than the best setting when both were trained for "
        f"{best.stage.epochs} epochs, once each: {TITLES[objective]} {baseline:.3f} against "
        f"{found:.3f} on the {split} split{weights}."
    )


def _evaluation(slot: SlotRecord) -> Evaluation | None:
    """Return what a model was judged to; None where that is not here."""
    path = (slot.result or {}).get("evaluation")
    try:
        return None if path is None else Evaluation.load(Path(path))
    except (OSError, ValidationError):
        return None
