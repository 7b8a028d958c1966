"""What a sweep names must fit together: checked before hours are spent, by `validate` and `submit`.

A trainer of one's own takes what it wants, so these are the built-in trainer's checks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.data.prepared import SPLITS, Split
from sweep.errors import InputError
from sweep.files.wording import shown
from sweep.spec.sweep_file import SweepSpec
from sweep.spec.train_settings import legal_settings
from sweep.training.contract import Value
from sweep.training.registry import BUILT_IN
from sweep.training.ultralytics.architecture import Architecture, architecture_of
from sweep.training.ultralytics.pretrained import check_model

if TYPE_CHECKING:  # they load OpenCV
    from sweep.data.dataset_file import DatasetSpec
    from sweep.data.prepared import PreparedDataset
    from sweep.data.summary import DatasetSummary

CELL_PX = 32
"""Every model's `imgsz` is a multiple of it."""


@dataclass(frozen=True, kw_only=True)
class SplitCounts:
    """What is known of a dataset's splits; a split that is drawn is known once it is prepared."""

    classes: tuple[str, ...]
    images: Mapping[Split, int]
    boxes: Mapping[Split, int]
    """Neither has splits that are not known yet."""
    boxes_per_class: Mapping[str, int]
    """Empty where not known."""

    @classmethod
    def of_summary(cls, found: "DatasetSummary") -> "SplitCounts":
        """Return what is known before preparation."""
        return cls(
            classes=found.classes,
            images=found.images_per_split,
            boxes=found.boxes_per_split,
            boxes_per_class=found.boxes_per_class,
        )

    @classmethod
    def of_prepared(cls, found: "PreparedDataset") -> "SplitCounts":
        """Return what is known after it."""
        return cls(
            classes=found.classes,
            images={split: found.images_per_split.get(split, 0) for split in SPLITS},
            boxes={split: found.boxes_per_split.get(split, 0) for split in SPLITS},
            boxes_per_class={},
        )

    def lack(self, split: Split) -> str:
        """Say what a split lacks; empty if nothing, or if that is not known."""
        if self.images.get(split) == 0:
            return "has no images"
        return "has images without boxes alone" if self.boxes.get(split) == 0 else ""


def model_path(spec: SweepSpec, file: Path) -> str:
    """Return the model as `check_model` takes it: the file beside the sweep file, or the name."""
    beside = file.parent / spec.model
    return str(beside) if beside.is_file() else spec.model


def check_files(spec: SweepSpec, file: Path, dataset: "DatasetSpec | None") -> None:
    """Check what a sweep file says against its model and its dataset file.

    Raises:
        InputError: If they do not fit.
    """
    if spec.trainer not in BUILT_IN:
        return
    model = model_path(spec, file)
    try:
        check_model(model)
    except InputError as error:
        raise InputError(f"{file}: model: {error}") from error
    if (architecture := architecture_of(model)) is not None:
        _check_settings(spec, file, architecture)
    if dataset is not None and dataset.size is not None and dataset.size % CELL_PX:
        lower = dataset.size // CELL_PX * CELL_PX
        raise InputError(
            f"{dataset.file}: size: found {dataset.size}, which no `imgsz` fits, as it is a "
            f"multiple of {CELL_PX}; write {lower} or {lower + CELL_PX}"
        )


def check_counts(spec: SweepSpec, file: Path, found: SplitCounts) -> None:
    """Check what a sweep file says against the dataset's images and boxes.

    Raises:
        InputError: If a training or a judgement would fail for what is not there.
    """
    if spec.trainer not in BUILT_IN:
        return
    for split in SPLITS[:2]:
        if lack := found.lack(split):
            raise InputError(f"{file}: dataset: its {split} split {lack}; add some")
    if spec.retrain is not None and (lack := found.lack(spec.retrain.judge_on)):
        other = "" if spec.retrain.judge_on == "val" else ", or write `judge_on: val` there"
        raise InputError(
            f"{file}: retrain: the dataset's {spec.retrain.judge_on} split {lack}, so the "
            f"retrained models cannot be judged on it; add some{other}"
        )
    for field, name, value in spec.all_settings():
        if name == "classes":
            _check_classes(f"{file}: {field}", found, value)


def enlarging(spec: SweepSpec, dataset: "DatasetSpec | None") -> str:
    """Say that images are trained on larger than they are prepared; empty if they are not."""
    if spec.trainer not in BUILT_IN or dataset is None or dataset.size is None:
        return ""
    named = [value for _, name, value in spec.all_settings() if name == "imgsz"]
    largest = max(
        value for value in named or [legal_settings()["imgsz"].default] if isinstance(value, int)
    )
    if largest <= dataset.size:
        return ""
    return (
        f"imgsz {largest} is larger than the dataset's size, {dataset.size}: every image is "
        f"enlarged, which costs time; write `imgsz: {dataset.size}` under `train:`, or a larger "
        f"`size` in {dataset.file} if the originals are"
    )


def _check_settings(spec: SweepSpec, file: Path, architecture: Architecture) -> None:
    for field, name, value in spec.all_settings():
        where = f"{file}: {field}: '{name}' is {shown(value)}"
        if name == "imgsz" and isinstance(value, int) and value % architecture.stride:
            lower = value // architecture.stride * architecture.stride
            raise InputError(
                f"{where}, not a multiple of {architecture.stride}, as {spec.model} needs: use "
                f"{lower or architecture.stride} or {lower + architecture.stride}"
            )
        if name == "freeze" and value is not None:
            frozen = _frozen(value)
            last = architecture.layers - 1
            if any(number > last for number in frozen):
                raise InputError(f"{where}, but {spec.model} has the layers 0 to {last}")
            if len(frozen) == architecture.layers:
                raise InputError(
                    f"{where}, all layers of {spec.model}, so nothing would be trained; leave "
                    "some out"
                )


def _frozen(value: Value) -> set[int]:
    """Return the numbers of the layers that a setting of `freeze` keeps whole."""
    if isinstance(value, list):
        return {number for number in value if isinstance(number, int)}
    # A count has no upper end that a set should hold.
    return set(range(min(value, 10_000))) if isinstance(value, int) else set()


def _check_classes(where: str, found: SplitCounts, value: Value) -> None:
    numbers = value if isinstance(value, list) else [] if value is None else [value]
    boxes = 0
    for number in numbers:
        if not isinstance(number, int) or number >= len(found.classes):
            names = ", ".join(f"{place} {name}" for place, name in enumerate(found.classes))
            raise InputError(f"{where}: found class {number}; allowed: {names}")
        boxes += found.boxes_per_class.get(found.classes[number], 0)
    if numbers and found.boxes_per_class and not boxes:
        raise InputError(f"{where}: found {shown(value)}, but the dataset has no box of it")
