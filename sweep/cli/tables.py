"""How far a sweep is, as a table for people."""

from rich.console import Group, RenderableType
from rich.table import Table

from storage.snapshot.records import SlotRecord, StageSummary, SweepSummary
from storage.states import SlotState, StageState, SweepState
from sweep.api.status import time_left_s
from sweep.spec.space import settings_line


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


def _title(found: SweepSummary) -> str:
    left = time_left_s(found)
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
