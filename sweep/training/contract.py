"""What goes into one training and what comes out: the contract of every trainer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol, Self

Scalar = str | int | float | bool | None
"""What YAML and JSON call a scalar."""
Value = Scalar | list[Scalar]
"""One setting's value: a scalar, or a list such as `freeze: [0, 1, 2]`."""

Objective = Literal["map50", "map50_95"]
Schedule = Literal["ultralytics", "scaled"]
MemoryFormat = Literal["contiguous", "channels_last"]
Precision = Literal["auto", "fp32", "bf16"]
"""`auto`: as Ultralytics chooses, 16-bit mixed precision on a GPU that can, else fp32."""


class Decision(StrEnum):
    """What a training does after an epoch."""

    CONTINUE = "continue"
    PRUNE = "prune"  # end here: the pruner expects nothing of this trial
    STOP = "stop"  # end here: the slot is given back and the trial goes on later


class FailureKind(StrEnum):
    """Why a trial did not complete. The kind decides what happens to its slot."""

    PREEMPTED = "preempted"  # the worker was told to leave: goes on elsewhere
    LOST = "lost"  # the worker vanished: goes on elsewhere
    OOM = "oom"  # out of memory: failed
    DATA = "data"  # the dataset cannot be read: failed
    CRASHED = "crashed"  # anything else the training raised, or its process died: failed
    DIVERGED = "diverged"  # the loss or the weights are not finite: pruned, in a retraining failed
    HUNG = "hung"  # no sign of life for `hung_after_s`: killed, counts as crashed
    CANCELLED = "cancelled"  # the user said so: final


class TrainingFailed(Exception):
    """A training that ended without a result. The message is one line for the user."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class TrainingBroken(Exception):
    """A trainer that does not keep the contract: mend it. The message says what, in one line."""


class TrainingStopped(Exception):
    """A training that ended because `on_epoch` answered PRUNE or STOP; `decision` says which."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.value)
        self.decision = decision


@dataclass(frozen=True, kw_only=True)
class Device:
    """The share of a device that one training may use."""

    kind: Literal["cpu", "cuda"] = "cpu"
    index: int = 0
    """CUDA index as `nvidia-smi` counts; 0 on a CPU."""
    memory_fraction: float = 1.0
    """Part of the device's memory this training may take, in (0, 1]."""

    def __str__(self) -> str:
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"


@dataclass(frozen=True, kw_only=True)
class ImageCachePlace:
    """Where a host keeps the augmented images that its trainings share."""

    folder: Path
    disk_cap_gb: float
    """What all of them may take together, in 10^9 bytes."""
    trainings: int
    """How many trainings see the same images; what so many have read may be removed."""


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """Everything one training needs. Picklable; holds no connection and no open file."""

    sweep: str
    slot: int
    """Id of the slot that this trial fills."""
    attempt: int
    """How often the slot was claimed, from 1."""
    trainer: str = "ultralytics"
    """`ultralytics`, or `package.module:callable` with the signature of `Trainer`."""
    params: Mapping[str, Value]
    """The searched settings, as the sampler gave them."""
    settings: Mapping[str, Value]
    """The training settings the sweep file fixes under `train:`; `params` win over them."""
    epochs: int
    dataset: Path | None
    """Folder of the prepared dataset (`sweep.data.prepared.PreparedDataset.load` reads it).

    None where the sweep file names none, as only one with a trainer of its own may.
    """
    run_folder: Path
    """Where this attempt writes, and no other. Made by the child."""
    earlier: tuple[Path, ...] = ()
    """Run folders of the slot's earlier attempts, newest first; only read."""
    model: str
    """Absolute path of the weights, or the name of a model without weights (`yolov8n.yaml`)."""
    objective: Objective = "map50_95"
    schedule: Schedule = "ultralytics"
    seed: int = 0
    device: Device = Device()
    threads: int = 1
    """CPU threads of the training process; part of the job, because it decides the last bits."""
    memory_format: MemoryFormat = "channels_last"
    precision: Precision = "auto"
    image_cache: ImageCachePlace | None = None
    """Where to share augmented images; None where no other training needs the same ones."""
    evaluate_on: str | None = None
    """Split to evaluate the best checkpoint on after the last epoch (`test`), or None."""


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """What one epoch of one training came to, on the validation split.

    A number may be any that makes a float, of NumPy or PyTorch too, but no truth value. A training
    of which `map50`, `map50_95`, `precision` or `recall` is not finite has diverged.
    """

    epoch: int
    """Number of completed epochs: one more than reported last. The first one is 1, or a later one
    where the training goes on from an earlier attempt; none is beyond the job's epochs."""
    map50: float
    map50_95: float
    precision: float
    recall: float
    losses: Mapping[str, float]
    """Training and validation losses by Ultralytics' names: `train/box_loss`, `val/cls_loss`, …
    One that is not finite is shown as unknown."""
    lr: Mapping[str, float]
    """Learning rate by parameter group at the epoch's end: `lr/pg0`, …"""
    seconds: float
    """Wall time of the epoch, validation included; a negative one counts as 0."""


@dataclass(frozen=True, kw_only=True)
class ClassMetrics:
    """One class's average precision on the validation split, at the best epoch."""

    name: str
    ap50: float
    ap: float
    """Averaged over IoU 0.50:0.95."""


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """What a completed training came to. `map50` and `map50_95` are the best epoch's.

    Numbers are as in an `EpochReport`: of a training whose scores are not finite there is no
    result, it has diverged.
    """

    map50: float
    map50_95: float
    precision: float = 0.0
    recall: float = 0.0
    best_epoch: int
    """The epoch with the highest objective, from 1; the first of equals."""
    last_map50: float
    last_map50_95: float
    epochs: int
    """Epochs trained, earlier attempts included: the last one reported. Fewer than the job's where
    the trainer saw that more would bring nothing, as with Ultralytics' `patience`."""
    seconds: float
    """Wall time of all epochs."""
    images_shared: int = 0
    """Training images that the last attempt read from the image cache instead of making them."""
    images_loaded: int = 0
    """Training images that the last attempt read or made."""
    per_class: tuple[ClassMetrics, ...] = ()
    effective: Mapping[str, Value] = field(default_factory=dict)
    """What the training really ran with, read back: optimizer, lr0, momentum or beta1, …
    Anything that JSON can hold."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Versions of detsweep, ultralytics and torch, and the `device`; the training process adds it.
    """
    checkpoint: Path | None = None
    """Weights of the best epoch, in Ultralytics' format."""
    evaluation: Path | None = None
    """`evaluation.json` on the split of `evaluate_on` (`sweep.evaluation.result.Evaluation`)."""

    @classmethod
    def from_epochs(cls, reports: Sequence[EpochReport], objective: Objective) -> Self:
        """Derive the best and the last epoch's metrics from all epochs, in order.

        What no epoch says, a trainer adds with `dataclasses.replace`.

        Raises:
            ValueError: If `reports` is empty.
        """
        if not reports:
            raise ValueError("a training that reported no epoch has no result")
        best = max(reports, key=lambda report: float(getattr(report, objective)))
        last = reports[-1]
        return cls(
            map50=best.map50,
            map50_95=best.map50_95,
            precision=best.precision,
            recall=best.recall,
            best_epoch=best.epoch,
            last_map50=last.map50,
            last_map50_95=last.map50_95,
            epochs=last.epoch,
            seconds=sum(report.seconds for report in reports),
        )


OnEpoch = Callable[[EpochReport], Decision]


class Trainer(Protocol):
    """Trains one job.

    Calls `on_epoch` after every epoch and obeys its answer: on PRUNE and STOP it raises
    `TrainingStopped`. What goes wrong it raises as `TrainingFailed`, of kind OOM, DATA, DIVERGED or
    CRASHED; anything else that it raises counts as `crashed`. `on_epoch` raises `TrainingBroken` or
    `TrainingFailed` on a report that may not be; the training has failed then, whatever follows. A
    trainer that goes on from a checkpoint of an earlier attempt does not report the epochs before
    it again; its result covers them.
    """

    def __call__(self, job: TrialJob, on_epoch: OnEpoch) -> TrialResult:
        """Train `job` to its last epoch and return its result."""
        ...
