"""What a sweep will cost and what it still lacks, told before the work."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.data.dataset_file import CocoSource, DatasetSpec, SyntheticSource, YoloSource
from sweep.data.summary import DatasetSummary, check
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.plan import STAGES
from sweep.submission.submit import dataset_spec, load


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a sweep file asks for."""

    spec: SweepSpec
    model_present: bool
    """Whether the weights are there or none are needed; else they are downloaded."""
    dataset: DatasetSummary | None
    """None where the trainer needs no dataset, or its source is not there yet."""
    missing: str | None
    """The dataset's source, where it is not there yet."""

    @property
    def epochs(self) -> dict[str, int]:
        """Epochs of each kind of stage in all, were no trial pruned; 0 where none is asked for."""
        return {
            name: kind.expected_slots(self.spec) * (kind.epochs(self.spec) or 0)
            for name, kind in STAGES.items()
        }

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "name": self.spec.name,
            "trials": STAGES["search"].expected_slots(self.spec),
            **{f"{name}_epochs": epochs for name, epochs in self.epochs.items()},
            "model": self.spec.model,
            "model_present": self.model_present,
            "dataset": None if self.dataset is None else dataclasses.asdict(self.dataset),
            "missing": self.missing,
        }

    def as_text(self) -> str:
        """Write it as lines for a person."""
        lines = [f"{self.spec.name}: the file is right"]
        lines += [
            f"{name}: {STAGES[name].summary(self.spec)}, {epochs} epochs in all"
            for name, epochs in self.epochs.items()
            if epochs
        ]
        lines.append(
            f"model: {self.spec.model}" + ("" if self.model_present else ", will be downloaded")
        )
        if self.missing is not None:
            lines.append(f"missing: {self.missing}, which the dataset file names as its source")
        if self.dataset is not None:
            found = self.dataset
            lines.append(
                f"dataset: {found.name}, {found.images} images, {found.boxes} boxes, "
                f"{len(found.classes)} classes"
            )
            if found.missing:
                lines.append(f"missing: {found.missing} of {found.images} images are not there yet")
        return "\n".join(lines)


def estimate(file: Path) -> Cost:
    """Check a sweep file and its dataset file, without images or database.

    Raises:
        InputError: If either is wrong.
    """
    spec = load(file)
    dataset = dataset_spec(spec, file)
    missing = None if dataset is None else _missing_source(dataset)
    return Cost(
        spec=spec,
        model_present=_present(spec.model, file),
        dataset=None if dataset is None or missing is not None else check(dataset),
        missing=missing,
    )


def _present(model: str, file: Path) -> bool:
    name = Path(model)
    return name.suffix != ".pt" or name.is_file() or (file.parent / name).is_file()


def _missing_source(dataset: DatasetSpec) -> str | None:
    match dataset.source:
        case CocoSource(coco=path) | YoloSource(yolo=path):
            return None if path.exists() else str(path)
        case SyntheticSource():
            return None
