"""Ultralytics' training loop on one device, short: without its retries, timers and plots."""

import time
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils import LOGGER
from ultralytics.utils.torch_utils import autocast

from sweep.training.image_cache.randomness import Purpose, reseed


class EpochLoop(DetectionTrainer):  # type: ignore[misc]
    """The steps and epochs of `BaseTrainer._do_train` over Ultralytics' own parts.

    Its optimizer steps, learning rates, losses and moving average are Ultralytics'. Everything
    that an epoch leaves to the next one is an attribute, so that it can be saved and restored.
    """

    model: Any
    stop: bool
    tloss: dict[str, torch.Tensor] | None
    accumulate: int
    last_step: int
    """Number of the batch after which the optimizer stepped last, over all epochs; -1 at first."""

    def begin(self) -> None:
        """Called once before the first epoch."""

    def after_batch(self) -> None:
        """Called after every batch."""

    def end_epoch(self) -> None:
        """Called after every epoch and its validation."""

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
        """Build the model, without counting its operations for the log."""
        return super().get_model(cfg, weights, verbose=False)

    def _do_train(self) -> None:
        self._setup_train()
        self.last_step = -1
        self.batches_per_epoch = len(self.train_loader)
        self.warmup_batches = self._get_warmup_iterations(self.batches_per_epoch)
        self._full_accumulate = self.accumulate
        self.epoch_time_start = self.train_time_start = time.time()
        self.begin()
        self.train_loader.sampler.next_epoch = self.start_epoch
        for epoch in range(self.start_epoch, self.epochs):
            if self.stop:
                break
            self.epoch = epoch
            self._train_epoch(self.train_loader)
            self._finish_epoch()
        self.final_eval()
        if self.device.type != "cpu":
            self._clear_memory()

    def _train_epoch(self, batches: Iterable[dict[str, Any]]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the scheduler steps before the optimizer
            self.scheduler.step()
        self._model_train()
        self.tloss = None
        for number, batch in enumerate(batches):
            reseed(Purpose.STEP, self.args.seed, self.epoch, number)
            step = number + self.batches_per_epoch * self.epoch
            if self.warmup_batches and step <= self.warmup_batches:
                self._warm_up(step)
            self._forward_and_backward(number, batch)
            if step - self.last_step >= self.accumulate:
                self.optimizer_step()
                self.last_step = step
            self.after_batch()
        if hasattr(self.model.criterion, "update"):
            self.model.criterion.update()
        self.lr = {f"lr/pg{i}": group["lr"] for i, group in enumerate(self.optimizer.param_groups)}
        self.ema.update_attr(
            self.model, include=["yaml", "nc", "args", "names", "stride", "class_weights"]
        )

    def _warm_up(self, step: int) -> None:
        between = [0, self.warmup_batches]
        accumulate = np.interp(step, between, [1, self._full_accumulate])
        self.accumulate = max(1, int(accumulate.round()))
        for group in self.optimizer.param_groups:
            start = self.args.warmup_bias_lr if group.get("param_group") == "bias" else 0.0
            target = group["initial_lr"] * self.lf(self.epoch)
            group["lr"] = float(np.interp(step, between, [start, target]))
            if "momentum" in group:
                momenta = [self.args.warmup_momentum, self.args.momentum]
                group["momentum"] = float(np.interp(step, between, momenta))

    def _forward_and_backward(self, number: int, batch: dict[str, Any]) -> None:
        with self._autocast():
            batch = self.preprocess_batch(batch)
            loss, self.loss_items = self.model(batch)
            self.loss = loss.sum()
            self.loss_names = tuple(self.loss_items)
            self.tloss = (
                self.loss_items
                if self.tloss is None
                else {
                    name: (self.tloss[name] * number + value) / (number + 1)
                    for name, value in self.loss_items.items()
                }
            )
        self.scaler.scale(self.loss).backward()

    def _autocast(self) -> Any:
        if self.args.amp != "bf16":
            return autocast(self.amp, device=self.device.type)
        if self.device.type == "cpu":  # which Ultralytics refuses, not knowing that CPUs can
            return torch.autocast("cpu", torch.bfloat16)
        return autocast(torch.bfloat16, device=self.device.type)

    def _finish_epoch(self) -> None:
        self._clear_memory(0.5)  # of a GPU that is half full, for the validation
        self.metrics, self.fitness = self.validate()
        losses = self.label_loss_items(self.tloss)
        self.save_metrics(metrics={**losses, **self.metrics, **self.lr})
        self.stop = self.stopper(self.epoch + 1, self.fitness)
        self.save_model()
        now = time.time()
        self.epoch_time, self.epoch_time_start = now - self.epoch_time_start, now
        LOGGER.info(
            f"epoch {self.epoch + 1}/{self.epochs}  {self.epoch_time:.1f} s  "
            + "  ".join(f"{name} {value:.4g}" for name, value in {**losses, **self.metrics}.items())
        )
        self.end_epoch()
