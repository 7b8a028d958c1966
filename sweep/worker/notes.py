"""What a worker notes on the trials of a study, for those who look at it in optuna-dashboard."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.contents import fault_of_result
from storage.queue.settling import Settled
from storage.queue.slots import Slot
from storage.queue.sweeps import Submission
from storage.states import SlotState
from sweep import paths
from sweep.stages.notes import trial_note
from sweep.training.registry import BUILT_IN
from sweep.worker.run_folders import run_folders


def note_of_begun(
    submission: Submission, slot: Slot, params: Mapping[str, Any], *, attempt: int, folder: Path
) -> str:
    """Return the note on a trial that an attempt has begun to train in a folder."""
    built_in = submission.spec.get("trainer", "ultralytics") in BUILT_IN
    return trial_note(
        slot,
        paths.report_page(submission.runs, slot.sweep),
        params=params,
        state="running" if attempt == 1 else f"running, attempt {attempt}",
        folder=folder,
        weights=folder / "weights" / "best.pt" if built_in else None,
    )


def note_of_settled(submission: Submission, settled: Settled) -> str:
    """Return the note on a trial that has ended."""
    slot, result = settled.slot, settled.result or {}
    state = str(settled.state)
    if settled.state is SlotState.COMPLETE and (fault := fault_of_result(settled.result)):
        state, result = f"unreadable: {fault}", {}
    elif result:
        state += (
            f", best epoch {result.get('best_epoch')}: mAP50 {result['map50']:.3f}, "
            f"mAP50-95 {result['map50_95']:.3f}"
        )
    elif settled.message:
        state += f": {settled.message}"
    folders = run_folders(submission.runs, slot, slot.trial_number)
    found = folders.attempts if settled.attempt == 1 else folders.all_attempts
    weights = result.get("checkpoint")
    return trial_note(
        slot,
        paths.report_page(submission.runs, slot.sweep),
        params=slot.params or {},
        state=state,
        folder=found.get(settled.attempt, folders.attempt(settled.attempt)),
        weights=None if weights is None else Path(weights),
    )
