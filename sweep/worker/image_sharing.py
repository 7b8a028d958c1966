"""Which trainings of a sweep see the same images, and where this host keeps those for them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from storage.filesystems import network_file_system
from sweep import paths
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.plan import SEARCH
from sweep.training.contract import ImageCachePlace
from sweep.training.image_cache.augmentation import AUGMENTATION

Settings = Mapping[str, Any]


def image_cache_place(
    spec: SweepSpec, stage: str, params: Settings, slots: Sequence[Settings]
) -> ImageCachePlace | None:
    """Return where a training shares its images; None where that cannot help, or cannot work.

    Args:
        spec: The sweep.
        stage: Name of the training's stage.
        params: The training's settings beside those under `train:`.
        slots: The settings of all slots of a stage that is not the search.
    """
    trainings = _in_search(spec) if stage == SEARCH else _alike(params, slots)
    folder = paths.image_cache_folder()
    # Memory that is mapped from a network file system is not shared between its hosts.
    if spec.stream_gb == 0 or trainings < 2 or network_file_system(folder):
        return None
    return ImageCachePlace(folder=folder, disk_cap_gb=spec.stream_gb, trainings=trainings)


def _in_search(spec: SweepSpec) -> int:
    """Return how many trials of the search may see the same images."""
    values = {name: parameter.grid() for name, parameter in spec.search.space.items()}
    trials = spec.search.trials or math.prod(len(grid or ()) for grid in values.values())
    kinds = 1
    for name in set(values) & set(AUGMENTATION):
        grid = values[name]
        if grid is None:  # endlessly many: no two trials are alike
            return 1
        kinds *= len(grid)
    return trials // kinds


def _alike(params: Settings, slots: Sequence[Settings]) -> int:
    return sum(_augmentation(slot) == _augmentation(params) for slot in slots)


def _augmentation(params: Settings) -> Settings:
    return {name: params[name] for name in AUGMENTATION if name in params}
