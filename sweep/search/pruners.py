"""The table of pruners that a sweep file may name (`sweep.spec.sweep_file.PrunerName`)."""

from collections.abc import Callable

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)

from sweep.spec.sweep_file import PrunerName

PRUNERS: dict[PrunerName, Callable[[int], BasePruner]] = {
    "none": lambda _epochs: NopPruner(),
    "median": lambda _epochs: MedianPruner(),
    "successive_halving": lambda _epochs: SuccessiveHalvingPruner(min_resource=1),
    "hyperband": lambda epochs: HyperbandPruner(min_resource=1, max_resource=epochs),
}
"""Each makes Optuna's pruner from the epochs of a full training."""
