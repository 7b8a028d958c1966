"""What a training really runs with, read back from its parts."""

from collections.abc import Mapping

import torch

from sweep.training.contract import Scalar
from sweep.training.ultralytics.running import RunningTraining


def effective_settings(training: RunningTraining) -> Mapping[str, Scalar]:
    """Return what `training`, before its first batch, runs with; Ultralytics may override."""
    groups = {group.get("param_group"): group for group in training.optimizer.param_groups}
    weights = groups["weight"]
    betas = weights.get("betas")
    momentum = (
        {"beta1": betas[0], "beta2": betas[1]} if betas else {"momentum": weights["momentum"]}
    )
    precision = "bf16" if training.args.amp == "bf16" else "fp16"
    return {
        "optimizer": type(training.optimizer).__name__,
        "lr0": weights["initial_lr"],
        **momentum,
        "weight_decay": weights["weight_decay"],
        "batch": training.batch_size,
        "accumulate": training.accumulate,
        "imgsz": training.args.imgsz,
        "epochs": training.epochs,
        "batches_per_epoch": training.batches_per_epoch,
        "warmup_batches": training.warmup_batches,
        "warmup_bias_lr": training.args.warmup_bias_lr,
        "close_mosaic": training.args.close_mosaic,
        "patience": training.args.patience,
        "precision": precision if training.amp else "fp32",
        "seed": training.args.seed,
        "threads": torch.get_num_threads(),
        "memory_format": training.job.memory_format,
    }
