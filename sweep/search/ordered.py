"""Numbers that are listed, not sampled, as Optuna sees them: in their order."""

import itertools
import math
from collections.abc import Sequence
from statistics import pstdev
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # Optuna takes half a second to import; who only looks does without it
    from optuna.distributions import BaseDistribution

_LOG_RATIO = 10.0
"""From this ratio on, two numbers lie apart on a logarithm."""


def ordered(values: Sequence[Any]) -> "BaseDistribution | None":
    """Return a range that holds all values; None where they are not two or more numbers.

    Of integers where they all are. Logarithmic where they lie more evenly on a logarithm.
    """
    numbers = sorted({value for value in values if _is_number(value)})
    if len(numbers) < 2 or not all(map(_is_number, values)):
        return None
    from optuna.distributions import FloatDistribution, IntDistribution

    low, high = numbers[0], numbers[-1]
    log = _even_on_a_logarithm(numbers)
    if all(isinstance(value, int) for value in values):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _even_on_a_logarithm(numbers: Sequence[float]) -> bool:
    if numbers[0] <= 0:
        return False
    if len(numbers) == 2:
        return numbers[1] / numbers[0] >= _LOG_RATIO
    return _unevenness([math.log(number) for number in numbers]) < _unevenness(numbers)


def _unevenness(numbers: Sequence[float]) -> float:
    """Return the coefficient of variation of the distances between sorted numbers."""
    distances = [after - before for before, after in itertools.pairwise(numbers)]
    return pstdev(distances) / (sum(distances) / len(distances))
