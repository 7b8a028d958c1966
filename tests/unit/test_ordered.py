"""Listed numbers as Optuna sees them."""

from typing import Any

import pytest
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from sweep.search.ordered import ordered


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.01, 0.005, 0.001, 0.0005, 0.0001], FloatDistribution(0.0001, 0.01, log=True)),
        ([0.1, 0.5, 0.9], FloatDistribution(0.1, 0.9)),
        ([0.1, 0.01], FloatDistribution(0.01, 0.1, log=True)),
        ([0.8, 0.937], FloatDistribution(0.8, 0.937)),
        ([8, 16, 32], IntDistribution(8, 32, log=True)),
        ([320, 480, 640], IntDistribution(320, 640)),
        ([0, 10], IntDistribution(0, 10)),
        ([0, 0.5, 1], FloatDistribution(0.0, 1.0)),
        ([-10.0, 1.0, 10.0], FloatDistribution(-10.0, 10.0)),
    ],
)
def test_numbers_are_a_range_that_holds_them(values: list[Any], expected: BaseDistribution) -> None:
    found = ordered(values)
    assert found == expected
    for value in values:
        assert found._contains(found.to_internal_repr(value))
        assert found.to_external_repr(found.to_internal_repr(value)) == value


@pytest.mark.parametrize(
    "values",
    [["SGD", "AdamW"], [False, True], [0.1, None], [0.1, "0.2"], [0.5], [0.5, 0.5], [], [[0], [1]]],
)
def test_all_else_is_left_as_categories(values: list[Any]) -> None:
    assert ordered(values) is None
