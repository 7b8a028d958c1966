"""The state of a training between two epochs: everything that later epochs depend on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
import ultralytics

from sweep.data.prepared import PreparedDataset
from sweep.training.contract import ClassMetrics, EpochReport, TrialJob
from sweep.training.ultralytics.running import RunningTraining

_PARTS = ("model", "optimizer", "scheduler", "scaler")
"""What has a state of its own."""
_VALUES = ("last_step", "accumulate", "best_fitness", "fitness", "metrics")


def versions() -> dict[str, str]:
    """Return the versions of what computes a training's numbers."""
    return {"torch": str(torch.__version__), "ultralytics": str(ultralytics.__version__)}


def identity(job: TrialJob, dataset: PreparedDataset) -> str:
    """Return a name of everything that decides a training's numbers; hexadecimal."""
    deciding = {
        "dataset": dataset.fingerprint,
        "versions": versions(),
        "params": dict(job.params),
        "settings": dict(job.settings),
        "device": job.device.kind,
        **{
            name: getattr(job, name)
            for name in (
                *("model", "epochs", "objective", "schedule"),
                *("seed", "threads", "memory_format", "precision"),
            )
        },
    }
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def capture(training: RunningTraining) -> dict[str, Any]:
    """Return the state after an epoch, in plain values and the training's own tensors."""
    return {
        "epoch": training.epoch + 1,
        "stop": bool(training.stop),
        **{name: getattr(training, name) for name in _VALUES},
        **{name: getattr(training, name).state_dict() for name in _PARTS},
        "gradients": {
            name: parameter.grad
            for name, parameter in training.model.named_parameters()
            if parameter.grad is not None
        },
        "ema": training.ema.ema.state_dict(),
        "ema_updates": training.ema.updates,
        "stopper": {
            "best_fitness": float(training.stopper.best_fitness),
            "best_epoch": training.stopper.best_epoch,
            "possible_stop": bool(training.stopper.possible_stop),
        },
        "results_csv": training.csv.read_text(),
        "reports": [asdict(report) for report in training.reports],
        "per_class": [asdict(metrics) for metrics in training.per_class],
    }


def restore(training: RunningTraining, state: Mapping[str, Any]) -> None:
    """Put `training`, set up for the same job, into `state`."""
    training.start_epoch = state["epoch"]
    training.epoch = state["epoch"] - 1
    training.stop = state["stop"]
    for name in _VALUES:
        setattr(training, name, state[name])
    for name in _PARTS:
        getattr(training, name).load_state_dict(state[name])
    for name, parameter in training.model.named_parameters():
        gradient = state["gradients"].get(name)
        parameter.grad = None if gradient is None else gradient.to(parameter.device)
    _restore_criterion(training)
    training.ema.ema.load_state_dict(state["ema"])
    training.ema.updates = state["ema_updates"]
    training.stopper.__dict__.update(state["stopper"])
    training.csv.write_text(state["results_csv"])
    training.reports = [EpochReport(**report) for report in state["reports"]]
    training.per_class = tuple(ClassMetrics(**metrics) for metrics in state["per_class"])


def _restore_criterion(training: RunningTraining) -> None:
    """Bring a loss that changes by the epoch, as of a YOLO26, to the epoch it is in."""
    criterion = training.model.init_criterion()
    if hasattr(criterion, "update"):
        for _ in range(training.start_epoch):
            criterion.update()
        training.model.criterion = criterion
