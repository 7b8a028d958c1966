"""Whether the best value of a searched setting lies at the edge of what was tried."""

import math
from collections.abc import Iterator
from typing import Any, TypeGuard

from storage.snapshot.records import SlotRecord, SweepRecord
from sweep.errors import InputError
from sweep.report.trials import momentum_name, setting
from sweep.spec.space import Parameter
from sweep.spec.train_settings import legal_settings
from sweep.training.registry import BUILT_IN

_EDGE = 0.05
"""So near to the end of a range, as a part of it, a value is at its edge."""


def edges(sweep: SweepRecord, best: SlotRecord) -> Iterator[str]:
    """Yield a sentence for each number of the best trial beyond which a better one may lie."""
    params = best.params or {}
    for name, found in sweep.spec["search"]["space"].items():
        value = params.get(name)
        if not _is_number(value):
            continue
        end = _edge(Parameter.model_validate(found), value)
        if end is None or (sweep.spec.get("trainer") in BUILT_IN and _at_limit(name, value)):
            continue
        shown = momentum_name(params.get("optimizer")) if name == "momentum" else name
        where, way = end
        yield f"{shown} {setting(value)} of the best trial is {where}: try {way}."


def _edge(parameter: Parameter, value: float) -> tuple[str, str] | None:
    """Say at which end of its values one lies, and where to go on; None in the middle."""
    listed = parameter.grid()
    if listed is not None:
        numbers = [other for other in listed if _is_number(other)]
        if len(numbers) < 2:
            return None
        if value == max(numbers):
            return "the largest tried", "larger"
        return ("the smallest tried", "smaller") if value == min(numbers) else None
    low, high = float(parameter.low or 0), float(parameter.high or 0)
    scale = math.log if parameter.log else float
    part = (scale(value) - scale(low)) / (scale(high) - scale(low))
    if part >= 1 - _EDGE:
        return f"at the upper end of its range, {setting(high)}", "larger"
    if part <= _EDGE:
        return f"at the lower end of its range, {setting(low)}", "smaller"
    return None


def _at_limit(name: str, value: float) -> bool:
    """Whether a training takes nothing beyond a value."""
    try:
        legal = legal_settings().get(name)
    except InputError:  # Ultralytics is not installed where this is looked at
        return False
    numbers = None if legal is None else legal.numbers
    return numbers is not None and (value <= numbers.low or value >= numbers.high)


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
