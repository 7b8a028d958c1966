"""The tables of samplers and pruners that a sweep file may name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

import storage.optuna  # noqa: F401 - keeps Optuna quiet
from sweep.spec.space import grid_points, suggest
from sweep.spec.sweep_file import PrunerName, SamplerName, Search


def _random_points(search: Search) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=RandomSampler(seed=search.seed))
    return [suggest(study.ask(), search.space) for _ in range(search.trials or 0)]


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """How one sampler fills a search's slots."""

    points: Callable[[Search], list[dict[str, Any]]] | None
    """Draws the settings of all slots at submit; None when each is sampled at its claim."""
    build: Callable[[int], BaseSampler]
    """Makes Optuna's sampler from a seed; asked only where `points` is None."""


SAMPLERS: dict[SamplerName, Sampler] = {
    "grid": Sampler(points=lambda search: list(grid_points(search.space)), build=RandomSampler),
    "random": Sampler(points=_random_points, build=RandomSampler),
    "tpe": Sampler(points=None, build=lambda seed: TPESampler(seed=seed)),
}

PRUNERS: dict[PrunerName, Callable[[int], BasePruner]] = {
    "none": lambda _epochs: NopPruner(),
    "median": lambda _epochs: MedianPruner(),
    "successive_halving": lambda _epochs: SuccessiveHalvingPruner(min_resource=1),
    "hyperband": lambda epochs: HyperbandPruner(min_resource=1, max_resource=epochs),
}


def planned_points(search: Search) -> list[dict[str, Any] | None]:
    """Return the settings of every budgeted trial; None where a sampler chooses at the claim."""
    points = SAMPLERS[search.sampler].points
    return [None] * (search.trials or 0) if points is None else list(points(search))


def sampler_for(search: Search, ordinal: int) -> BaseSampler:
    """Make the sampler to ask for one slot.

    Its seed goes with the slot: one seeded alike for every slot would propose alike.
    """
    return SAMPLERS[search.sampler].build(search.seed * 1_000_003 + ordinal)


def pruner_for(search: Search) -> BasePruner:
    """Make the pruner of a search."""
    return PRUNERS[search.pruner](search.epochs)
