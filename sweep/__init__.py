"""Hyperparameter sweeps for object detectors, from Python; docs/python.md is a walk-through.

Public is what `__all__` lists, and `sweep.testing`. All else is private: it may change at any time.
Importing this loads neither torch nor Optuna nor SQLAlchemy; the functions load what they need.

A trainer of one's own is a function of a job and of what to call after every epoch:

>>> from sweep import Decision, EpochReport, OnEpoch, TrainingStopped, TrialJob, TrialResult, tick
>>> def train(job: TrialJob, on_epoch: OnEpoch) -> TrialResult:
...     reports = []
...     for epoch in range(1, job.epochs + 1):
...         tick()  # a sign of life; best at every batch
...         score = 1 - job.params["lr0"] / epoch
...         report = EpochReport(
...             epoch=epoch, map50=score, map50_95=score / 2, precision=score, recall=score,
...             losses={}, lr={}, seconds=0.0,
...         )
...         reports.append(report)
...         decision = on_epoch(report)
...         if decision is not Decision.CONTINUE:
...             raise TrainingStopped(decision)
...     return TrialResult.from_epochs(reports, job.objective)

Try it without a sweep:

>>> from pathlib import Path
>>> job = TrialJob(
...     sweep="try", slot=1, attempt=1, params={"lr0": 0.5}, settings={}, epochs=2, dataset=None,
...     run_folder=Path("try"), model="none",
... )
>>> train(job, lambda report: Decision.CONTINUE).map50
0.75
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from sweep.errors import InputError, SweepError, unsupported
from sweep.training.contract import (
    ClassMetrics,
    Decision,
    Device,
    EpochReport,
    FailureKind,
    OnEpoch,
    Trainer,
    TrainingFailed,
    TrainingStopped,
    TrialJob,
    TrialResult,
)
from sweep.training.process.heartbeat import tick

if TYPE_CHECKING:
    from sweep.api.results import results
    from sweep.api.running import run
    from sweep.api.status import status
    from sweep.api.submitting import load_spec, submit

__all__ = [
    "ClassMetrics",
    "Decision",
    "Device",
    "EpochReport",
    "FailureKind",
    "InputError",
    "OnEpoch",
    "SweepError",
    "Trainer",
    "TrainingFailed",
    "TrainingStopped",
    "TrialJob",
    "TrialResult",
    "__version__",
    "load_spec",
    "results",
    "run",
    "status",
    "submit",
    "tick",
]

__version__ = "0.1.0"

_MODULES = {
    "load_spec": "sweep.api.submitting",
    "submit": "sweep.api.submitting",
    "run": "sweep.api.running",
    "status": "sweep.api.status",
    "results": "sweep.api.results",
}
"""Where the functions are that load more than the standard library."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if (refused := unsupported(sys.platform)) is not None:
        raise SweepError(refused)
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return __all__
