"""A trainer that needs no GPU, no dataset and no time: to try a set-up, and for tests.

    trainer: sweep.testing:instant_trainer
    train: {seconds_per_epoch: 0.2, fault: crash, fault_epoch: 2, fault_attempts: 1}

Its metrics are made up, but behave: a smooth function of lr0, momentum, optimizer, seed and epoch,
always the same for the same job.

>>> from pathlib import Path
>>> from sweep import Decision, TrialJob
>>> from sweep.testing import instant_trainer
>>> job = TrialJob(
...     sweep="try", slot=1, attempt=1, params={"lr0": 0.01}, settings={}, epochs=3, dataset=None,
...     run_folder=Path("try"), model="none",
... )
>>> instant_trainer(job, lambda report: Decision.CONTINUE).best_epoch
3
"""

import math
import os
import random
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, get_args

from sweep.training.contract import (
    ClassMetrics,
    Decision,
    EpochReport,
    FailureKind,
    OnEpoch,
    TrainingFailed,
    TrainingStopped,
    TrialJob,
    TrialResult,
    Value,
)
from sweep.training.process import heartbeat

Fault = Literal["crash", "oom", "diverged", "data", "hang", "exit", "kill"]
"""`fault:` under `train:`; it strikes during epoch `fault_epoch` (default 1) of the first
`fault_attempts` attempts (default: all). `hang` gives no sign of life any more, `exit` leaves the
process with code 3, `kill` is SIGKILL."""

_BEST_LR = {"SGD": 0.01, "Adam": 0.001, "AdamW": 0.002}
_LOSSES = ("box_loss", "cls_loss", "dfl_loss")
_CLASSES = {"easy": 1.1, "hard": 0.7}


def instant_trainer(job: TrialJob, on_epoch: OnEpoch) -> TrialResult:
    """Make up the epochs of `job`.

    Settings and parameters are free; these have a meaning: `lr0`, `momentum`, `optimizer` for the
    metrics, `seconds_per_epoch` (default 0), and `fault` with its companions.

    Raises:
        TrainingStopped: When `on_epoch` says PRUNE or STOP.
        TrainingFailed: For the faults `oom`, `diverged` and `data`.
        ValueError: If there is no such fault.
    """
    settings = {**job.settings, **job.params}
    reports: list[EpochReport] = []
    for epoch in range(1, job.epochs + 1):
        time.sleep(_number(settings, "seconds_per_epoch", 0.0))
        attempts = _number(settings, "fault_attempts", math.inf)
        if epoch == _number(settings, "fault_epoch", 1) and job.attempt <= attempts:
            _strike(settings.get("fault"))
        report = made_up_epoch(settings, seed=job.seed, epoch=epoch)
        reports.append(report)
        decision = on_epoch(report)
        if decision is not Decision.CONTINUE:
            raise TrainingStopped(decision)
    result = TrialResult.from_epochs(reports, job.objective)
    return replace(
        result,
        per_class=tuple(
            ClassMetrics(name=name, ap50=min(1.0, result.map50 * ease), ap=result.map50_95 * ease)
            for name, ease in _CLASSES.items()
        ),
        effective={name: settings.get(name) for name in ("optimizer", "lr0", "momentum")},
    )


def made_up_epoch(settings: Mapping[str, Value], *, seed: int, epoch: int) -> EpochReport:
    """Return what `instant_trainer` reports for an epoch, from 1."""
    optimizer = str(settings.get("optimizer", "SGD"))
    lr0 = _number(settings, "lr0", 0.01)
    momentum = _number(settings, "momentum", 0.9)
    off = math.log10(lr0 / _BEST_LR.get(optimizer, 0.005))
    peak = 0.9 * math.exp(-0.5 * off**2) * (1 - 0.5 * (momentum - 0.6) ** 2)
    noise = random.Random(f"{seed}/{epoch}").uniform(-0.01, 0.01)
    map50 = max(0.0, peak * (1 - math.exp(-epoch / 3)) + noise)
    loss = 4 - 3 * map50
    return EpochReport(
        epoch=epoch,
        map50=map50,
        map50_95=0.6 * map50,
        precision=0.9 * map50,
        recall=0.8 * map50,
        losses={f"{split}/{name}": loss for split in ("train", "val") for name in _LOSSES},
        lr={"lr/pg0": lr0 / epoch},
        seconds=_number(settings, "seconds_per_epoch", 0.0),
    )


def _strike(fault: Value) -> None:
    """Do what the fault says; `hang` never returns."""
    match fault:
        case None:
            return
        case "crash":
            raise RuntimeError("the trainer crashed, as it was told to")
        case "oom" | "diverged" | "data":
            raise TrainingFailed(FailureKind(str(fault)), f"{fault}, as the trainer was told to")
        case "hang":
            heartbeat.tick()
            while True:
                time.sleep(60)
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case _:
            raise ValueError(f"fault '{fault}' is none of {', '.join(get_args(Fault))}")


def _number(settings: Mapping[str, Value], name: str, default: float) -> float:
    value = settings.get(name)
    return default if value is None or isinstance(value, list) else float(value)
