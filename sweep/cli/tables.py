"""How far a sweep is: as JSON for programs, as a table for people."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from storage.snapshot.records import (
    SlotRecord,
    StageRecord,
    StageSummary,
    SweepRecord,
    SweepSummary,
)
from storage.states import SlotState, StageState, SweepState
from sweep.spec.space import settings_line
from sweep.stages.plan import best_slot, score
from sweep.training.contract import Objective


def as_json(record: SweepRecord) -> dict[str, Any]:
    """Return a sweep's state as plain JSON values, as documented in the README."""
    objective: Objective = record.spec["objective"]
    by_id = {slot.id: (stage, slot) for stage in record.stages for slot in stage.slots}
    return {
        "name": record.name,
        "state": str(record.state),
        "spec_hash": record.spec_hash,
        "dataset": str(record.dataset or ""),
        "stages": [_stage_json(stage, objective) for stage in record.stages],
        "time_left_s": time_left_s(record),
        "workers": [
            {
                "id": worker.id,
                "host": worker.host,
                "device": worker.device,
                "trial": None if worker.slot is None else by_id[worker.slot][1].trial_number,
                "epoch": None if worker.slot is None else len(by_id[worker.slot][1].epochs),
                "last_seen_s": round(worker.last_seen_s, 1),
            }
            for worker in record.workers
            if worker.slot is None or worker.slot in by_id
        ],
    }


def counts(stage: StageRecord) -> dict[str, int]:
    """Count a stage's slots by state."""
    found = Counter(slot.state for slot in stage.slots)
    return {str(state): found[state] for state in SlotState}


def time_left_s(record: SweepRecord) -> float | None:
    """Estimate the seconds until the sweep is done; None before the first epoch or without workers.

    Epochs left over all stages, times the mean seconds of those done, over the live workers.
    """
    seconds = [
        float(epoch.report["seconds"])
        for stage in record.stages
        for slot in stage.slots
        for epoch in slot.epochs
    ]
    workers = len(record.workers)
    if not seconds or not workers:
        return None
    left = sum(_epochs_left(stage) for stage in record.stages)
    return left * sum(seconds) / len(seconds) / workers


def _epochs_left(stage: StageRecord) -> int:
    if stage.state is StageState.WAITING:
        return 2 * stage.epochs  # baseline and best
    return sum(
        max(stage.epochs - len(slot.epochs), 0) for slot in stage.slots if not slot.state.final
    )


def _stage_json(stage: StageRecord, objective: Objective) -> dict[str, Any]:
    best = best_slot(stage.slots, objective)
    return {
        "name": stage.name,
        "study": stage.study,
        "state": str(stage.state),
        "total": len(stage.slots),
        "counts": counts(stage),
        "attempts": dict(stage.endings),
        "failures": failures(stage.slots),
        "best": None
        if best is None
        else {
            "number": best.trial_number,
            "value": score(best, objective),
            "params": dict(best.params or {}),
        },
    }


def failures(slots: Iterable[SlotRecord]) -> list[dict[str, Any]]:
    """List the trials that ended otherwise than complete, with the reason."""
    return [
        {
            "number": slot.trial_number,
            "state": str(slot.state),
            "kind": slot.failure_kind,
            "attempts": slot.attempt,
            "message": slot.message,
        }
        for slot in slots
        if slot.state in (SlotState.FAILED, SlotState.CANCELLED, SlotState.PRUNED)
    ]


def as_table(found: SweepSummary) -> RenderableType:
    """Draw a sweep's stages, its running trials and what failed."""
    table = Table(
        "stage", "done", "running", "pruned", "failed", "best", "with", title=_title(found)
    )
    for stage in found.stages:
        best = stage.best
        table.add_row(
            stage.name,
            "waiting" if stage.state is StageState.WAITING else f"{stage.done}/{stage.total}",
            str(stage.counts[SlotState.RUNNING]),
            str(stage.counts[SlotState.PRUNED]),
            str(stage.counts[SlotState.FAILED]),
            "" if best is None else f"{best.value:.3f}",
            ""
            if best is None
            else f"trial {best.trial_number}: {settings_line(best.params or {})}",
        )
    parts: list[RenderableType] = [table]
    if running := [
        (stage, slot)
        for stage in found.stages
        for slot in stage.moving
        if slot.state is SlotState.RUNNING
    ]:
        parts.append(_running_table(running))
    for stage in found.stages:
        if stage.unplanned:
            unplanned = ", ".join(f"{count} {how}" for how, count in stage.unplanned.items())
            parts.append(f"{stage.name}: attempts that ended otherwise than planned: {unplanned}")
    for stage in found.stages:
        parts += [
            f"trial {slot.trial_number} {slot.state}: {slot.message}" for slot in stage.failed
        ]
        all_failed = stage.counts[SlotState.FAILED]
        if all_failed > len(stage.failed):
            parts.append(f"… {all_failed} failed in all; `sweep status NAME --json` lists them")
    return Group(*parts)


def progress_left_s(found: SweepSummary) -> float | None:
    """Estimate as `time_left_s` does, from the latest epochs."""
    if found.epoch_s is None or not found.workers:
        return None
    left = 0
    for stage in found.stages:
        if stage.state is StageState.WAITING:
            left += 2 * stage.epochs  # baseline and best
        else:
            running = [slot for slot in stage.moving if slot.state is SlotState.RUNNING]
            left += stage.epochs * (stage.counts[SlotState.QUEUED] + len(running))
            left -= sum(slot.epochs_done for slot in running)
    return left * found.epoch_s / len(found.workers)


def _title(found: SweepSummary) -> str:
    left = progress_left_s(found)
    if left is None or found.state is SweepState.DONE:
        return f"{found.name}: {found.state}"
    return f"{found.name}: {found.state}, about {duration(left)} left"


def _running_table(running: list[tuple[StageSummary, SlotRecord]]) -> Table:
    table = Table("trial", "epoch", "mAP50", "mAP50-95", "settings", "worker")
    for stage, slot in running:
        table.add_row(
            f"{stage.name} {slot.trial_number if slot.trial_number is not None else '…'}",
            f"{slot.epochs_done}/{stage.epochs}",
            "" if slot.last_epoch is None else f"{slot.last_epoch.map50:.3f}",
            "" if slot.last_epoch is None else f"{slot.last_epoch.map50_95:.3f}",
            (f"{slot.label}: " if slot.label else "") + settings_line(slot.params or {}),
            slot.worker or "",
        )
    return table


def duration(seconds: float) -> str:
    """Write a time roughly: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
