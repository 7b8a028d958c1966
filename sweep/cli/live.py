"""Showing how far work is: a live table on a terminal, plain lines elsewhere."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live

from storage.snapshot.records import SlotRecord, StageSummary, SweepSummary
from storage.states import SlotState, SweepState
from sweep.api.status import time_left_s
from sweep.cli import tables

_NOT_STARTED = (SlotState.QUEUED, 0)
_MEGABYTE = 2**20


class ProgressDisplay:
    """Shows each snapshot of a sweep it is given; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = (
            Live(console=console, auto_refresh=False, transient=True)
            if console.is_terminal
            else None
        )
        self._seen: dict[int, tuple[SlotState, int]] | None = None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, found: SweepSummary) -> None:
        """Show how far the sweep is now; as lines, only what changed since the last time."""
        if self._live is not None:
            self._live.update(tables.as_table(found), refresh=True)
            return
        first, self._seen = self._seen is None, self._seen or {}
        for stage in found.stages:
            for slot in stage.moving:
                now = (slot.state, slot.epochs_done)
                if not first and now != self._seen.get(slot.id, _NOT_STARTED):
                    self._console.print(_line(found, stage, slot), soft_wrap=True)
                self._seen[slot.id] = now


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


def task_display(console: Console) -> Callable[[str, int, int | None], None]:
    """Return a function that shows how far a preparatory task is, a line every tenth of it.

    Its arguments are what is done, how far it is, and how far it goes (None: not known, in bytes).
    """
    shown: dict[str, int] = {}

    def show(task: str, finished: int, total: int | None) -> None:
        tenth = finished * 10 // total if total else finished // (10 * _MEGABYTE)
        if shown.get(task) != tenth:
            shown[task] = tenth
            amount = f"{finished} of {total}" if total else f"{finished / _MEGABYTE:.0f} MB"
            console.print(f"{task}: {amount}", highlight=False)

    return show
