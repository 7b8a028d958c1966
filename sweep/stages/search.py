"""The search: every budgeted setting, trained for a short time."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from storage.queue.stages import NewSlot
from storage.snapshot.records import StageRecord
from sweep.search.ordered import ordered
from sweep.spec.space import distributions
from sweep.spec.sweep_file import PrunerName, SweepSpec
from sweep.stages.base import Settings, ShownAs, Stage
from sweep.training.image_cache.augmentation import AUGMENTATION

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


class Search(Stage):
    """The stage that a sweep file describes under `search:`."""

    opens_at_submit = True
    searches = True
    prunes_diverged = True
    shown_as = ShownAs.TRIALS

    def epochs(self, spec: SweepSpec) -> int:
        """Return the epochs of one trial, were it not pruned."""
        return spec.search.epochs

    def expected_slots(self, spec: SweepSpec) -> int:
        """Return the budget in trials."""
        return spec.search.trials or len(self.slots(spec, ()))

    def slots(self, spec: SweepSpec, before: Sequence[StageRecord]) -> list[NewSlot]:
        """Return the budget: settings drawn now, or none where a sampler chooses at the claim."""
        from sweep.search.samplers import planned_points

        return [NewSlot(params=point) for point in planned_points(spec.search)]

    def question(self, spec: SweepSpec) -> str:
        """Ask for the best of the budgeted settings."""
        return (
            f"of {self.expected_slots(spec)} settings of {', '.join(spec.search.space)}, which has "
            f"the highest {spec.objective} on the validation split within {spec.search.epochs} "
            f"epochs? (sampler {spec.search.sampler})"
        )

    def pruner(self, spec: SweepSpec) -> PrunerName:
        """Return the one that the sweep file names."""
        return spec.search.pruner

    def distributions(
        self, spec: SweepSpec, settings: Sequence[Settings]
    ) -> "dict[str, BaseDistribution]":
        """Return Optuna's form of the searched space.

        Where the settings are drawn at submit, no sampler needs listed numbers as the choices that
        they are: Optuna's tools then see them in their order.
        """
        from sweep.search.samplers import SAMPLERS

        space = spec.search.space
        if SAMPLERS[spec.search.sampler].points is None:
            return distributions(space)
        return {
            name: ordered(parameter.choices or ()) or parameter.distribution()
            for name, parameter in space.items()
        }

    def trainings_alike(
        self, spec: SweepSpec, params: Settings, settings: Sequence[Settings]
    ) -> int:
        """Return how many trials may have the same augmentation, on average over its choices."""
        values = {name: parameter.grid() for name, parameter in spec.search.space.items()}
        trials = spec.search.trials or math.prod(len(grid or ()) for grid in values.values())
        kinds = 1
        for name in set(values) & set(AUGMENTATION):
            grid = values[name]
            if grid is None:  # endlessly many: no two trials are alike
                return 1
            kinds *= len(grid)
        return trials // kinds
