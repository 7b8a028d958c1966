"""Showing how far work is: a live table on a terminal, plain lines elsewhere."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live

from storage.snapshot.records import SlotRecord, StageSummary, SweepSummary
from storage.states import SlotState, SweepState
from sweep.api.status import time_left_s
from sweep.cli import tables

_NOT_STARTED = (SlotState.QUEUED, 0)


@contextmanager
def progress_display(console: Console) -> Iterator[Callable[..., None]]:
    """Provide a function that shows the snapshots (`SweepSummary`) of sweeps it is given."""
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            yield lambda *found: live.update(_tables(found), refresh=True)
    else:
        yield _line_display(console)


def _tables(found: Sequence[SweepSummary]) -> Group | str:
    return Group(*map(tables.as_table, found)) if found else "no sweep to work on now; waiting"


def _line_display(console: Console) -> Callable[..., None]:
    """Return a function that prints a line for each trial that changed since the last time."""
    seen: dict[int, tuple[SlotState, int]] = {}
    known: set[str] = set()

    def show(*found: SweepSummary) -> None:
        for one in found:
            for stage in one.stages:
                for slot in stage.moving:
                    now = (slot.state, slot.epochs_done)
                    if one.name in known and now != seen.get(slot.id, _NOT_STARTED):
                        line = _line(one, stage, slot)
                        several = len(known) > 1
                        console.print(f"{one.name}: {line}" if several else line, soft_wrap=True)
                    seen[slot.id] = now
            known.add(one.name)

    return show


def _line(found: SweepSummary, stage: StageSummary, slot: SlotRecord) -> str:
    number = "…" if slot.trial_number is None else slot.trial_number
    label = f" ({slot.label})" if slot.label else ""
    at = f"epoch {slot.epochs_done}/{stage.epochs}" if slot.epochs_done else ""
    what = f"{slot.state} {at}" if slot.state.final or not at else at
    text = f"{stage.name} {stage.done}/{stage.total}: trial {number}{label} {what}"
    if slot.message:
        text += f": {slot.message}"
    elif slot.last_epoch is not None:
        last = slot.last_epoch
        text += f"  mAP50 {last.map50:.3f}  mAP50-95 {last.map50_95:.3f}"
    if stage.best is not None:
        text += f"  best {stage.best.value:.3f}"
    left = time_left_s(found)
    if left is not None and found.state is SweepState.ACTIVE:
        text += f"  (about {tables.duration(left)} left)"
    return text
