"""How much disk a sweep will take, and whether there is as much."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sweep import paths
from sweep.errors import InputError
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.plan import STAGES
from sweep.submission.checks import model_path
from sweep.training.registry import BUILT_IN
from sweep.training.ultralytics.architecture import architecture_of, size_of

if TYPE_CHECKING:
    from sweep.data.dataset_file import DatasetSpec

_PARAMETERS = {"t": 2e6, "n": 3e6, "s": 11e6, "m": 26e6, "c": 26e6, "l": 44e6, "x": 68e6}
"""Of a detector by its size, where nothing tells it better."""
_OTHER_PARAMETERS = 26e6
_HALF, _SINGLE = 2, 4
"""Bytes of a number."""
_WEIGHTS = 2 * _HALF
"""Bytes for each parameter that a trial leaves: best.pt and last.pt."""
_CHECKPOINTS = 2 * 5 * _SINGLE
"""Bytes for each that it takes while it trains: two checkpoints of the weights, their average,
the optimizer's two numbers and the gradients."""
_TRIAL_BYTES = 500_000
"""A trial's log, table of epochs and predictions."""
_BYTES_PER_PX = 3 + 0.5
"""Of a prepared image: decoded, and as a JPEG file."""


@dataclass(frozen=True, kw_only=True)
class DiskNeed:
    """What a sweep will write, in bytes; estimates, each on the safe side."""

    runs: float
    """Below the folder of runs."""
    prepared: float
    """Below that of prepared datasets; 0 where it is prepared, or not known."""

    shared_gb: float
    """At most so much comes to it for the augmented images that trainings share, in 10^9 bytes."""

    @property
    def text(self) -> str:
        """Write it as a line for a person."""
        shared = f", and at most {self.shared_gb:g} GB for augmented images that trainings share"
        return f"disk: about {gigabytes(self.total)}{shared if self.shared_gb else ''}"

    @property
    def total(self) -> float:
        """Both."""
        return self.runs + self.prepared


def disk_need(
    spec: SweepSpec, file: Path, dataset: "DatasetSpec | None", images: int
) -> DiskNeed | None:
    """Estimate what a sweep will write; None where its trainer is not built in.

    Args:
        spec: The sweep.
        file: What it was read from.
        dataset: Its dataset file.
        images: How many it has; 0 where that is not known.
    """
    if spec.trainer not in BUILT_IN:
        return None
    trials = sum(
        kind.expected_slots(spec) for kind in STAGES.values() if kind.epochs(spec) is not None
    )
    parameters = _parameters(model_path(spec, file))
    side = 0 if dataset is None or dataset.size is None else dataset.size
    there = dataset is not None and any(paths.PREPARED.glob(f"{dataset.name}-*"))
    return DiskNeed(
        runs=trials * (_WEIGHTS * parameters + _TRIAL_BYTES) + _CHECKPOINTS * parameters,
        prepared=0 if there else images * side**2 * _BYTES_PER_PX,
        shared_gb=spec.stream_gb,
    )


def check_disk(file: Path, need: DiskNeed) -> None:
    """Check that there is room.

    Raises:
        InputError: If there is not.
    """
    runs, prepared = _existing(paths.RUNS), _existing(paths.PREPARED)
    together = runs.stat().st_dev == prepared.stat().st_dev
    wanted = [(runs, need.total)] if together else [(runs, need.runs), (prepared, need.prepared)]
    for folder, size in wanted:
        free = shutil.disk_usage(folder).free
        if size > free:
            raise InputError(
                f"{file}: the sweep needs about {gigabytes(size)} below {folder}, where "
                f"{gigabytes(free)} are free; make room, give it fewer trials or a smaller model, "
                "or work in a folder on another disk"
            )


def gigabytes(size: float) -> str:
    """Write bytes as `1.2 GB` (10^9 bytes)."""
    return f"{size / 1e9:.1f} GB" if size >= 5e7 else f"{size / 1e9:.2f} GB"


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _parameters(model: str) -> float:
    """Return about how many parameters a model has."""
    path = Path(model)
    if path.suffix == ".pt" and path.is_file():
        return path.stat().st_size / _HALF  # fewer if it is in full precision
    architecture, size = architecture_of(model), size_of(model)
    known = {} if architecture is None else architecture.parameters
    first = next(iter(known.values()), None) if not size else None
    return float(known.get(size) or first or _PARAMETERS.get(size, _OTHER_PARAMETERS))
