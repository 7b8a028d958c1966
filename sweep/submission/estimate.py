"""What a sweep will cost and what it still lacks, told before the work."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep import paths
from sweep.data.summary import DatasetSummary
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.plan import STAGES
from sweep.submission.checks import model_path
from sweep.submission.disk import DiskNeed
from sweep.submission.submit import check, load


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
    need: DiskNeed | None
    """Of disk; None where the trainer is not built in."""
    note: str
    """What is right, but hardly meant; empty if nothing is."""

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
            "note": self.note,
            "disk_gb": None if self.need is None else round(self.need.total / 1e9, 3),
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
        if self.need is not None:
            lines.append(self.need.text)
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
        if self.note:
            lines.append(f"note: {self.note}")
        return "\n".join(lines)


def estimate(file: Path) -> Cost:
    """Check a sweep file and its dataset file, without images or database.

    Raises:
        InputError: If either is wrong.
    """
    spec = load(file)
    found = check(spec, file)
    path = Path(model_path(spec, file))
    return Cost(
        spec=spec,
        model_present=path.suffix != ".pt" or path.is_file() or (paths.WEIGHTS / path).is_file(),
        dataset=found.dataset,
        missing=found.missing,
        need=found.need,
        note=found.note,
    )
