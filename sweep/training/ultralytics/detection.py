"""Ultralytics' training of a detector, bent to a trial's contract."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import torch
from ultralytics.utils import LOGGER

from sweep.data.prepared import PreparedDataset
from sweep.files.atomic_write import write_file
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
from sweep.training.image_cache.augmented_images import (
    AugmentedImages,
    open_image_cache,
    read_packed,
    training_loader,
)
from sweep.training.process import heartbeat
from sweep.training.ultralytics import checkpoint, state
from sweep.training.ultralytics.effective_settings import effective_settings
from sweep.training.ultralytics.loop import EpochLoop
from sweep.training.ultralytics.weights import WeightsFiles, add_results

_METRICS = {
    "map50": "metrics/mAP50(B)",
    "map50_95": "metrics/mAP50-95(B)",
    "precision": "metrics/precision(B)",
    "recall": "metrics/recall(B)",
}
"""Ultralytics' names, by ours."""


class DetectionTraining(EpochLoop):
    """One training, as Ultralytics does it, but for what a trial must not do.

    Out of memory never halves the batch, NaN never reloads a checkpoint, `best.pt` is the first
    epoch with the highest objective, and nothing is validated twice. After every epoch that is not
    pruned it leaves a checkpoint, and it goes on from the newest one of the job's earlier attempts.

    Args:
        job: What to train.
        dataset: The job's dataset.
        overrides: What Ultralytics is told.
        on_epoch: Told about every epoch that no earlier attempt finished.
    """

    last: Path
    best: Path
    best_fitness: float | None

    def __init__(
        self,
        job: TrialJob,
        dataset: PreparedDataset,
        overrides: Mapping[str, Value],
        on_epoch: OnEpoch,
    ) -> None:
        self.job = job
        self._dataset = dataset
        self._identity = state.identity(job, dataset)
        self.on_epoch = on_epoch
        self.reports: list[EpochReport] = []
        self.effective: Mapping[str, Value] = {}
        self.per_class: tuple[ClassMetrics, ...] = ()
        self._improved = False
        self._checkpoints = checkpoint.Writer()
        super().__init__(overrides=dict(overrides))
        if "workers" in overrides:  # on a CPU Ultralytics ignores them
            self.args.workers = overrides["workers"]
        self.add_callback("on_val_batch_end", lambda _: heartbeat.tick())

    def run(self) -> TrialResult:
        """Train to the last epoch.

        Raises:
            TrainingStopped: When `on_epoch` says PRUNE or STOP.
            TrainingFailed: Divergence, a broken dataset.
        """
        try:
            self.train()
        finally:
            for loader in (getattr(self, "train_loader", None), getattr(self, "test_loader", None)):
                if loader is not None:
                    loader.close()
            if hasattr(self, "train_loader"):
                self.train_loader.dataset.close()
        return replace(
            TrialResult.from_epochs(self.reports, self.job.objective),
            per_class=self.per_class,
            effective=self.effective,
            checkpoint=self.best,
            images_shared=self.train_loader.dataset.read_from_cache,
            images_loaded=self.train_loader.dataset.loaded,
        )

    def get_dataset(self) -> dict[str, Any]:
        """Read `data.yaml`."""
        try:
            return dict(super().get_dataset())
        except Exception as error:
            raise TrainingFailed(FailureKind.DATA, str(error)) from error

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> Any:
        """Open a split's images, decoded already where they are packed."""
        images = super().build_dataset(img_path, mode, batch)
        read_packed(images, self._dataset)
        return images

    def get_dataloader(
        self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train"
    ) -> Any:
        """Load training images by (seed, epoch, index), validation images as Ultralytics does."""
        if mode != "train":
            return super().get_dataloader(dataset_path, batch_size, rank, mode)
        dataset, args = self.build_dataset(dataset_path, mode, batch_size), self.args
        cache = open_image_cache(
            self.job.image_cache,
            dataset,
            args,
            seed=args.seed,
            fingerprint=self._dataset.fingerprint,
        )
        images = AugmentedImages(
            dataset,
            args,
            seed=args.seed,
            mosaic_closes_at=self.epochs - (args.close_mosaic or 0),
            image_cache=cache,
        )
        return training_loader(
            images, seed=args.seed, batch=batch_size, processes=args.workers, device=self.device
        )

    def setup_model(self) -> Any:
        """Build or load the model, in the memory format of the job.

        Ultralytics itself knows channels_last on CUDA only.
        """
        checkpoint = super().setup_model()
        if self.job.memory_format == "channels_last":
            self.model = self.model.to(memory_format=torch.channels_last)
        return checkpoint

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Move a batch to the device; images B x 3 x H x W in [0, 1], in the job's format."""
        batch = super().preprocess_batch(batch)
        if self.job.memory_format == "channels_last":
            batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
        return batch

    def begin(self) -> None:
        """Keep what the optimizer really runs with; go on where an earlier attempt ended."""
        self.effective = effective_settings(self)
        found = checkpoint.newest(self.job.earlier, identity=self._identity)
        if found is None:
            return
        folder, before = found
        state.restore(self, before)
        write_file(self.best, (folder / self.best.relative_to(self.save_dir)).read_bytes())
        LOGGER.info(f"going on after epoch {self.start_epoch} of {folder}")

    def after_batch(self) -> None:
        """Give a sign of life, and end a training that diverged."""
        heartbeat.tick()
        # A gradient scaler skips a step that overflows; without one the weights are lost now.
        if not self.scaler.is_enabled() and not self.loss.isfinite():
            self._diverged("the loss")

    def validate(self) -> tuple[dict[str, float], float]:
        """Validate the epoch; its fitness is the job's objective."""
        if not _finite((self.tloss or {}).values()):
            self._diverged("the training loss")
        if not _finite(self.model.state_dict().values()):
            self._diverged("a weight")
        metrics = {name: float(value) for name, value in self.validator(self).items()}
        if not all(map(math.isfinite, metrics.values())):
            self._diverged("the validation loss")
        metrics.pop("fitness", None)
        fitness = metrics[_METRICS[self.job.objective]]
        self._improved = self.best_fitness is None or fitness > self.best_fitness
        if self._improved:
            self.best_fitness = fitness
            self.per_class = self._class_metrics()
        return metrics, fitness

    def _diverged(self, what: str) -> NoReturn:
        raise TrainingFailed(
            FailureKind.DIVERGED, f"{what} is not finite in epoch {self.epoch + 1}: diverged"
        )

    def _class_metrics(self) -> tuple[ClassMetrics, ...]:
        """Return the average precision of every class that the validation split has."""
        box = self.validator.metrics.box
        return tuple(
            ClassMetrics(name=self.data["names"][int(number)], ap50=float(ap50), ap=float(ap))
            for number, ap50, ap in zip(box.ap_class_index, box.ap50, box.ap, strict=True)
        )

    @cached_property
    def _weights(self) -> WeightsFiles:
        return WeightsFiles(self)

    def save_model(self) -> bool:
        """Write `best.pt` for a better epoch; an equal one does not replace it."""
        if self._improved:
            self._weights.write(self.best, self.read_results_csv())
        return self._improved

    def read_results_csv(self) -> dict[str, list[float]]:
        """Return the epochs so far by column; Ultralytics would load polars, with its threads."""
        lines = [line.split(",") for line in self.csv.read_text().splitlines()]
        return {name: [float(x) for x in column] for name, *column in zip(*lines, strict=True)}

    def final_eval(self) -> None:
        """Write `last.pt` and complete `best.pt`; the best epoch is validated already."""
        results = self.read_results_csv()
        self._weights.write(self.last, results)
        add_results(self.best, results)
        self._checkpoints.wait()

    def end_epoch(self) -> None:
        """Report the epoch, save the state unless the trial is pruned, and obey the answer.

        The state is written while the next epoch trains; it is on the disk before that one is
        reported, and before a training ends.
        """
        report = EpochReport(
            epoch=self.epoch + 1,
            **{ours: self.metrics[theirs] for ours, theirs in _METRICS.items()},
            losses={
                **self.label_loss_items(self.tloss),
                **{name: x for name, x in self.metrics.items() if name.startswith("val/")},
            },
            lr=dict(self.lr),
            seconds=self.epoch_time,
        )
        self.reports.append(report)
        self._checkpoints.wait()
        decision = self.on_epoch(report)
        if decision is not Decision.PRUNE:
            now = {"identity": self._identity, **state.capture(self)}
            self._checkpoints.start(self.save_dir, now)
        if decision is not Decision.CONTINUE:
            self._checkpoints.wait()
            raise TrainingStopped(decision)


def _finite(tensors: Iterable[torch.Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
