"""What is asked of a training that runs: by its state, its weights files, its settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from sweep.training.contract import ClassMetrics, EpochReport, TrialJob


class RunningTraining(Protocol):
    """A training that is set up: `DetectionTraining`, without importing it.

    What a trial adds to Ultralytics' trainer has a type here; the rest is Ultralytics' own.
    """

    job: TrialJob
    reports: list[EpochReport]
    per_class: tuple[ClassMetrics, ...]
    batches_per_epoch: int
    warmup_batches: int
    last_step: int

    args: Any
    batch_size: int
    epochs: int
    model: Any
    ema: Any
    optimizer: Any
    scheduler: Any
    scaler: Any
    amp: bool
    accumulate: int
    stopper: Any
    csv: Path
    start_epoch: int
    epoch: int
    stop: bool
    best_fitness: float | None
    fitness: float
    metrics: Mapping[str, float]
