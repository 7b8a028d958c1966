"""What is read of a sweep at one moment: all of it, or a summary."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from storage.queue.sweeps import Sweep
from storage.states import SlotState, StageState, SweepState


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One committed epoch of one slot."""

    epoch: int
    """Number of completed epochs, from 1."""
    map50: float
    map50_95: float
    report: Mapping[str, Any]
    """The whole `EpochReport` as JSON: precision, recall, losses, lr, seconds."""
    decision: str | None
    """None until something was decided; its worker may have died before."""


@dataclass(frozen=True, kw_only=True)
class SlotRecord:
    """One budgeted trial."""

    id: int
    ordinal: int
    """Place in its stage, from 0."""
    label: str | None
    """What the slot is for where that matters: `baseline`, `best`."""
    params: Mapping[str, Any] | None
    """The searched settings; None until a sampler chose them."""
    state: SlotState
    attempt: int
    """How often the slot was claimed; 0 before the first time."""
    trial_number: int | None
    """Number of its trial in the Optuna study; None before the first claim."""
    worker: str | None
    failure_kind: str | None
    message: str | None
    """Why it failed or was pruned, one line."""
    result: Mapping[str, Any] | None
    """The whole `TrialResult` as JSON; None unless COMPLETE."""
    value: float | None = None
    """The result's objective."""
    started_at: datetime | None
    """UTC; of the first claim."""
    finished_at: datetime | None
    epochs_from: int | None = None
    """The attempt that began its epochs anew, in the place of those before; None where none did."""
    epochs: tuple[EpochRecord, ...] = ()
    """In order; in a summary the last one only."""

    @property
    def last_epoch(self) -> EpochRecord | None:
        """The last committed epoch; None before the first."""
        return self.epochs[-1] if self.epochs else None

    @property
    def epochs_done(self) -> int:
        """How many epochs are committed."""
        return self.epochs[-1].epoch if self.epochs else 0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a sweep, without its slots."""

    id: int
    name: str
    """`search`, `retrain`, …"""
    study: str
    """Name of its Optuna study: `<sweep>/<stage>`."""
    state: StageState
    epochs: int
    """Epochs of a full training in this stage."""
    endings: Mapping[str, int] = field(default_factory=dict)
    """How many attempts ended in which way: a final state, or why the slot failed or went on."""

    @property
    def unplanned(self) -> dict[str, int]:
        """The endings other than complete and pruned."""
        planned = (SlotState.COMPLETE, SlotState.PRUNED)
        return {ending: count for ending, count in self.endings.items() if ending not in planned}


@dataclass(frozen=True, kw_only=True)
class StageRecord(Stage):
    """One stage of a sweep and its slots, in order."""

    slots: tuple[SlotRecord, ...]


@dataclass(frozen=True, kw_only=True)
class StageSummary(Stage):
    """One stage of a sweep, its slots counted."""

    counts: Mapping[SlotState, int]
    """Slots by state, every state included."""
    best: SlotRecord | None
    """The completed slot with the highest objective above 0, the first of equals."""
    moving: tuple[SlotRecord, ...]
    """The running slots, and those that ended since the caller looked last; in order."""
    failed: tuple[SlotRecord, ...]
    """The first failed and cancelled slots that have a trial, a few only."""

    @property
    def total(self) -> int:
        """Number of slots."""
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        """Number of slots in a final state."""
        return sum(count for state, count in self.counts.items() if state.final)


@dataclass(frozen=True, kw_only=True)
class WorkerRecord:
    """A worker that was seen lately."""

    id: str
    host: str
    device: str
    slot: int | None
    """Id of the slot it works on; None while idle."""
    last_seen_s: float
    """Seconds since its last sign of life."""


@dataclass(frozen=True, kw_only=True)
class SweepRecord(Sweep):
    """A whole sweep: what was asked for and how far it is."""

    stages: tuple[StageRecord, ...]
    workers: tuple[WorkerRecord, ...] = ()
    unreadable: tuple[str, ...] = ()
    """The rows that are left out because somebody else wrote into them: which, and what is there.
    """


@dataclass(frozen=True, kw_only=True)
class SweepSummary:
    """A whole sweep, in numbers."""

    name: str
    spec: Mapping[str, Any]
    """The submitted sweep file as JSON."""
    state: SweepState
    priority: int
    created_at: datetime
    """When it was submitted, UTC."""
    at_s: float
    """The database's clock; the caller passes it on the next time as `since_s`."""
    stages: tuple[StageSummary, ...]
    workers: tuple[WorkerRecord, ...]
    epoch_s: float | None
    """Mean duration of the latest epochs; None before the first."""
    unreadable: tuple[str, ...] = ()
    """Of what was read of the sweep, the rows that are left out."""
