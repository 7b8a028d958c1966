"""The table of samplers that a sweep file may name (`sweep.spec.sweep_file.SamplerName`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from storage.optuna.private import suggest_value
from sweep.spec.space import Space, grid_points
from sweep.spec.sweep_file import MAX_SEED, SamplerName, Search


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    """Ask a trial for every parameter that is active beside the ones before it."""
    chosen: dict[str, Any] = {}
    for name, parameter in space.items():
        if parameter.active(chosen):
            chosen[name] = suggest_value(trial, name, parameter.distribution())
    return chosen


def _random_points(search: Search) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=RandomSampler(seed=search.seed))
    return [suggest(study.ask(), search.space) for _ in range(search.trials or 0)]


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """How one sampler fills a search's slots."""

    points: Callable[[Search], list[dict[str, Any]]] | None = None
    """Draws the settings of all slots at submit; None when each is sampled at its claim."""
    build: Callable[[int], BaseSampler] = RandomSampler
    """Makes Optuna's sampler from a seed; asked only where `points` is None."""


SAMPLERS: dict[SamplerName, Sampler] = {
    "grid": Sampler(points=lambda search: list(grid_points(search.space))),
    "random": Sampler(points=_random_points),
    "tpe": Sampler(build=lambda seed: TPESampler(seed=seed)),
}


def planned_points(search: Search) -> Sequence[dict[str, Any] | None]:
    """Return the settings of every budgeted trial; None where a sampler chooses at the claim."""
    points = SAMPLERS[search.sampler].points
    return [None] * (search.trials or 0) if points is None else points(search)


def sampler_for(search: Search, ordinal: int) -> BaseSampler:
    """Make the sampler to ask for one slot.

    Its seed goes with the slot: one seeded alike for every slot would propose alike.
    """
    return SAMPLERS[search.sampler].build((search.seed * 1_000_003 + ordinal) % (MAX_SEED + 1))
