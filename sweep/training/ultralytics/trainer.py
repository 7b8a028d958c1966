"""The built-in trainer `ultralytics`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from sweep import paths
from sweep.data.prepared import PreparedDataset
from sweep.errors import InputError
from sweep.training.contract import (
    FailureKind,
    OnEpoch,
    Precision,
    Schedule,
    TrainingFailed,
    TrialJob,
    TrialResult,
    Value,
)
from sweep.training.devices import claim
from sweep.training.process import heartbeat
from sweep.training.ultralytics.detection import DetectionTraining
from sweep.training.ultralytics.patches import patched

_REFERENCE_EPOCHS = 100
_REFERENCE_WARMUP_EPOCHS = 3.0
_REFERENCE_CLOSE_MOSAIC = 10
"""Ultralytics' defaults, made for 100 epochs; `schedule: scaled` keeps their part of a run."""

_AMP: Mapping[Precision, Value] = {"auto": True, "fp32": False, "bf16": "bf16"}
"""Ultralytics' word for a precision."""

_OUT_OF_MEMORY = (
    "out of memory",
    "DefaultCPUAllocator",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "unable to find an engine",
)
"""Signs in a message of PyTorch, as Ultralytics reads them (engine/trainer.py)."""


def train(job: TrialJob, on_epoch: OnEpoch) -> TrialResult:
    """Train a YOLO detector on a prepared dataset, as Ultralytics does.

    Writes args.yaml, results.csv, state.ckpt and weights/{best,last}.pt into the run folder, and
    the evaluation where the job asks for one. Goes on after the last epoch that an earlier attempt
    left a checkpoint of, and ends with the numbers of a training that was never interrupted.

    Raises:
        TrainingStopped: When `on_epoch` says PRUNE or STOP.
        TrainingFailed: Out of memory, divergence, a dataset that cannot be read.
    """
    device = claim(job.device)
    with patched(threads=job.threads):
        try:
            dataset = _dataset(job)
            overrides = training_overrides(job, dataset, device=device)
            training = DetectionTraining(job, dataset, overrides, on_epoch)
            result = training.run()
            if job.evaluate_on is None:
                return result
            with heartbeat.untracked():
                evaluation = _evaluate(job, job.evaluate_on, dataset, training)
            return replace(result, evaluation=evaluation)
        except (OSError, RuntimeError, MemoryError, InputError) as error:
            if (failure := _explained(error, job)) is None:
                raise
            raise failure from error


def _dataset(job: TrialJob) -> PreparedDataset:
    if job.dataset is None:
        raise InputError("the trainer 'ultralytics' needs a dataset; name it as `dataset:`")
    return PreparedDataset.load(job.dataset)


def training_overrides(
    job: TrialJob, dataset: PreparedDataset, *, device: str
) -> Mapping[str, Value]:
    """Return what Ultralytics is told: the job's settings, and what the sweep decides.

    Raises:
        TrainingFailed: If no optimizer is named: `auto` would ignore lr0 and momentum.
    """
    settings = {**job.settings, **job.params}
    if str(settings.get("optimizer", "auto")).lower() == "auto":
        raise TrainingFailed(
            FailureKind.CRASHED,
            "optimizer 'auto' ignores lr0 and momentum; name one under `train:` or `space:`",
        )
    return {
        "patience": 0,  # a search compares trials of equal length
        **_schedule(job.schedule, job.epochs),
        **settings,
        "task": "detect",
        "mode": "train",
        "model": job.model,
        "data": str(dataset.data_yaml),
        "epochs": job.epochs,
        "seed": job.seed,
        "device": device,
        "deterministic": True,
        "amp": _AMP[job.precision],
        "channels_last": job.memory_format == "channels_last" if device != "cpu" else None,
        "project": str(job.run_folder.parent),
        "name": job.run_folder.name,
        "save_dir": str(job.run_folder.resolve()),
        "exist_ok": True,
        "save": True,
        "val": True,
        "plots": False,
    }


def _schedule(schedule: Schedule, epochs: int) -> Mapping[str, Value]:
    if schedule == "ultralytics":
        return {}
    part = epochs / _REFERENCE_EPOCHS
    return {
        "warmup_epochs": _REFERENCE_WARMUP_EPOCHS * part,
        "close_mosaic": round(_REFERENCE_CLOSE_MOSAIC * part),
    }


def _evaluate(
    job: TrialJob, split: str, dataset: PreparedDataset, training: DetectionTraining
) -> Path:
    """Evaluate the best checkpoint on `split` and return the evaluation's path."""
    from sweep.evaluation.evaluate import evaluate

    classes = training.args.classes
    evaluate(
        training.best,
        dataset,
        split=split,
        out=job.run_folder,
        imgsz=training.args.imgsz,
        batch=training.batch_size,
        device=str(training.device),
        only_classes=[classes] if isinstance(classes, int) else classes,
    )
    return job.run_folder / paths.EVALUATION


def _explained(error: Exception, job: TrialJob) -> TrainingFailed | None:
    """Return the failure behind what a training raised, or None if nothing is known of it."""
    text = str(error)
    memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
    if memory or any(sign in text for sign in _OUT_OF_MEMORY):
        return TrainingFailed(
            FailureKind.OOM, f"out of memory on {job.device}; use a smaller batch or imgsz: {text}"
        )
    if isinstance(error, InputError) or (isinstance(error, OSError) and str(job.dataset) in text):
        return TrainingFailed(FailureKind.DATA, text)
    return None
