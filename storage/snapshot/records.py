"""Rows of our tables as they were at one moment, for everything that only looks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

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
    decision: str


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
    started_at: datetime | None
    """UTC; of the first claim."""
    finished_at: datetime | None
    epochs: tuple[EpochRecord, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """One stage of a sweep and its slots, in order."""

    id: int
    name: str
    """`search`, `retrain`, …"""
    study: str
    """Name of its Optuna study: `<sweep>/<stage>`."""
    state: StageState
    epochs: int
    """Epochs of a full training in this stage."""
    slots: tuple[SlotRecord, ...]
    endings: Mapping[str, int] = field(default_factory=dict)
    """How many attempts ended in which way: a final state, or why the slot failed or went on."""


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
class SweepRecord:
    """A whole sweep: what was asked for and how far it is."""

    name: str
    spec: Mapping[str, Any]
    """The submitted sweep file as JSON (`sweep.spec.sweep_file.SweepSpec`)."""
    spec_hash: str
    dataset: str
    """Absolute path of the prepared dataset."""
    fingerprint: str
    """The dataset's fingerprint."""
    runs: str
    """Absolute path of the folder its trials write under."""
    state: SweepState
    created_at: datetime
    """UTC."""
    stages: tuple[StageRecord, ...]
    workers: tuple[WorkerRecord, ...] = ()
