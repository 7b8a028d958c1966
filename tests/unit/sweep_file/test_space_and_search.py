"""The searched settings, and the tables of samplers and pruners."""

from typing import Any, get_args

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from sweep.search.pruners import PRUNERS
from sweep.search.samplers import SAMPLERS, planned_points, sampler_for, suggest
from sweep.spec.space import Parameter, grid_points
from sweep.spec.sweep_file import PrunerName, SamplerName, Search


def parameter(found: Any) -> Parameter:
    return Parameter.model_validate(found)


def searched(**fields: Any) -> Search:
    return Search.model_validate({"epochs": 8, "space": {"lr0": [0.1, 0.2]}} | fields)


@pytest.mark.parametrize(
    ("found", "distribution"),
    [
        (["SGD", "Adam"], CategoricalDistribution(["SGD", "Adam"])),
        ({"low": 0.001, "high": 0.1, "log": True}, FloatDistribution(0.001, 0.1, log=True)),
        ({"low": 0.0, "high": 1.0, "step": 0.25}, FloatDistribution(0.0, 1.0, step=0.25)),
        ({"low": 8, "high": 64}, IntDistribution(8, 64)),
        ({"low": 0, "high": 1.5}, FloatDistribution(0.0, 1.5)),
    ],
)
def test_a_parameter_in_optunas_form(
    found: Any, distribution: optuna.distributions.BaseDistribution
) -> None:
    assert parameter(found).distribution() == distribution


def test_grid_values_of_a_range_include_both_ends() -> None:
    assert parameter({"low": 0.1, "high": 0.5, "step": 0.2}).grid() == pytest.approx(
        (0.1, 0.3, 0.5)
    )
    assert parameter({"low": 2, "high": 5}).grid() == (2, 3, 4, 5)
    assert parameter({"low": 0.1, "high": 0.5}).grid() is None


def test_a_grid_has_every_point_once_the_last_parameter_fastest() -> None:
    space = {"optimizer": parameter(["SGD", "Adam"]), "lr0": parameter([0.1, 0.2])}
    assert list(grid_points(space)) == [
        {"optimizer": "SGD", "lr0": 0.1},
        {"optimizer": "SGD", "lr0": 0.2},
        {"optimizer": "Adam", "lr0": 0.1},
        {"optimizer": "Adam", "lr0": 0.2},
    ]


def test_a_conditional_parameter_is_left_out_where_it_does_not_apply() -> None:
    space = {
        "optimizer": parameter(["SGD", "Adam"]),
        "momentum": parameter({"choices": [0.8, 0.9], "when": {"optimizer": ["SGD"]}}),
    }
    assert list(grid_points(space)) == [
        {"optimizer": "SGD", "momentum": 0.8},
        {"optimizer": "SGD", "momentum": 0.9},
        {"optimizer": "Adam"},
    ]
    study = optuna.create_study()
    for optimizer, names in (("SGD", {"optimizer", "momentum"}), ("Adam", {"optimizer"})):
        study.enqueue_trial({"optimizer": optimizer})
        assert suggest(study.ask(), space).keys() == names


def test_the_tables_hold_what_a_sweep_file_may_name() -> None:
    assert tuple(SAMPLERS) == get_args(SamplerName)
    assert tuple(PRUNERS) == get_args(PrunerName)


def test_random_points_are_within_the_space_and_the_seeds() -> None:
    fields = {"sampler": "random", "trials": 30, "space": {"lr0": {"low": 0.001, "high": 0.1}}}
    points = planned_points(searched(**fields))
    assert len(points) == 30
    assert all(point is not None and 0.001 <= point["lr0"] <= 0.1 for point in points)
    assert points == planned_points(searched(**fields))
    assert points != planned_points(searched(**fields, seed=1))


def test_tpe_slots_are_sampled_at_the_claim_each_with_its_own_seed() -> None:
    search = searched(
        sampler="tpe", trials=4, space={"lr0": {"low": 0.001, "high": 0.1, "log": True}}
    )
    assert planned_points(search) == [None] * 4
    proposals = set()
    for ordinal in range(4):
        study = optuna.create_study(sampler=sampler_for(search, ordinal))
        proposals.add(suggest(study.ask(), search.space)["lr0"])
    assert len(proposals) == 4


@pytest.mark.parametrize("name", get_args(PrunerName))
def test_every_pruner_answers(name: PrunerName) -> None:
    study = optuna.create_study(direction="maximize", pruner=PRUNERS[name](8))
    pruned = 0
    for number in range(12):
        trial = study.ask()
        for epoch in range(1, 8):
            trial.report(1.0 / (number + 1), epoch)
            if trial.should_prune():
                pruned += 1
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, 1.0 / (number + 1))
    assert (pruned > 0) == (name != "none")
