"""How far sweeps are, as tables for people."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from storage.snapshot.records import SlotRecord, StageSummary, SweepRecord, SweepSummary
from storage.states import SlotState, StageState, SweepState
from sweep.api.status import by_score, served, time_left_s
from sweep.files.disk_use import DiskUse
from sweep.report.hints import unreadable_text
from sweep.spec.space import settings_line

_METRICS = {"map50": "mAP50", "map50_95": "mAP50-95"}


def sweeps_table(found: Iterable[SweepSummary], disks: Mapping[str, DiskUse]) -> RenderableType:
    """Draw a row for each sweep; `disks` says what each takes on the disk."""
    table = Table("sweep", "state", "priority", "submitted", "progress", "best", "left", "disk")
    for one in found:
        best = next((stage.best for stage in one.stages if stage.best is not None), None)
        table.add_row(
            one.name,
            state(one),
            str(one.priority),
            f"{one.created_at.astimezone():%Y-%m-%d %H:%M}",
            ", ".join(f"{stage.name} {_progress(stage)}" for stage in one.stages),
            "" if best is None else f"{best.value:.3f} {_METRICS[one.spec['objective']]}",
            _left(one),
            disk(disks[one.name]) if one.name in disks else "",
        )
    return table


def trials_table(found: SweepRecord) -> RenderableType:
    """Draw a row for each trial that was begun, the best first, the objective before the other."""
    objective = found.spec["objective"]
    metrics = sorted(_METRICS, key=lambda metric: metric != objective)
    table = Table(
        *("trial", "state", *(_METRICS[metric] for metric in metrics), "epochs", "settings", "why"),
        title=f"{found.name}: {found.state}",
    )
    trials = by_score(found)
    begun = [trial for trial in trials if trial.number is not None]
    for trial in begun:
        scores = (getattr(trial, metric) for metric in metrics)
        table.add_row(
            f"{trial.stage} {trial.number}" + (f" ({trial.label})" if trial.label else ""),
            trial.state,
            *("" if score is None else f"{score:.3f}" for score in scores),
            str(trial.epochs),
            rounded_settings(trial.params),
            trial.message or "",
        )
    if not begun:
        return f"{found.name}: no trial has begun; `sweep worker {found.name}` works on them"
    queued = len(trials) - len(begun)
    return Group(table, f"… {queued} more have not begun") if queued else table


def as_table(found: SweepSummary) -> RenderableType:
    """Draw a sweep's stages, its running trials and what failed."""
    table = Table(
        "stage", "done", "running", "pruned", "failed", "best", "with", title=_title(found)
    )
    for stage in found.stages:
        best = stage.best
        table.add_row(
            stage.name,
            _progress(stage),
            str(stage.counts[SlotState.RUNNING]),
            str(stage.counts[SlotState.PRUNED]),
            str(stage.counts[SlotState.FAILED]),
            "" if best is None else f"{best.value:.3f}",
            "" if best is None else f"trial {best.trial_number}: {rounded_settings(best.params)}",
        )
    parts: list[RenderableType] = [table]
    if running := [
        (stage, slot)
        for stage in found.stages
        for slot in stage.moving
        if slot.state is SlotState.RUNNING
    ]:
        parts.append(_running_table(running))
    if text := unreadable_text(found.unreadable):
        parts.append(text)
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
    left = _left(found)
    return f"{found.name}: {state(found)}" + (f", {left} left" if left else "")


def state(found: SweepSummary) -> str:
    """Write where a sweep stands, and whether nobody is at it."""
    alone = found.state is SweepState.ACTIVE and not served(found)
    return f"{found.state}, no worker" if alone else str(found.state)


def _left(found: SweepSummary) -> str:
    left = time_left_s(found)
    over = found.state in (SweepState.DONE, SweepState.CANCELLED)
    return "" if left is None or over else f"about {duration(left)}"


def _progress(stage: StageSummary) -> str:
    return "waiting" if stage.state is StageState.WAITING else f"{stage.done}/{stage.total}"


def rounded_settings(params: Mapping[str, Any] | None) -> str:
    """Write settings in one line, numbers to four digits."""
    return settings_line({name: _rounded(value) for name, value in (params or {}).items()})


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _running_table(running: list[tuple[StageSummary, SlotRecord]]) -> Table:
    table = Table("trial", "epoch", "mAP50", "mAP50-95", "settings", "worker")
    for stage, slot in running:
        table.add_row(
            f"{stage.name} {slot.trial_number if slot.trial_number is not None else '…'}",
            f"{slot.epochs_done}/{stage.epochs}",
            "" if slot.last_epoch is None else f"{slot.last_epoch.map50:.3f}",
            "" if slot.last_epoch is None else f"{slot.last_epoch.map50_95:.3f}",
            (f"{slot.label}: " if slot.label else "") + rounded_settings(slot.params),
            slot.worker or "",
        )
    return table


def disk(use: DiskUse) -> str:
    """Write how much disk something takes: `12.3 MB`, `over 1.2 GB` where not all was counted."""
    size, unit = float(use.bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    text = f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
    return text if use.complete else f"over {text}"


def duration(seconds: float) -> str:
    """Write a time roughly: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
