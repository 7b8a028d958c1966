"""The searched settings: which values a sampler may choose, and how Optuna sees them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, StrictBool, StrictFloat, StrictInt, model_validator

from sweep.files.wording import shown
from sweep.spec.value import SettingValue, as_scalar
from sweep.training.contract import Scalar, Value

if TYPE_CHECKING:  # Optuna takes half a second to import; a sweep file is read without it
    from optuna.distributions import BaseDistribution

Number = StrictInt | StrictFloat


class Parameter(BaseModel):
    """One searched setting: a list of choices, or a range."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    choices: tuple[SettingValue, ...] | None = None
    """The values themselves; in the file simply a list."""
    low: Number | None = None
    high: Number | None = None
    """The range, both ends included; of integers when both ends (and the step) are integers."""
    log: StrictBool = False
    """Whether to sample the logarithm evenly."""
    step: Number | None = None
    """Distance between the values of a range; every value when left out."""
    when: dict[str, tuple[SettingValue, ...]] | None = None
    """Searched only while these settings, named before this one, have one of these values."""

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, found: Any) -> Any:
        if isinstance(found, list | tuple):
            return {"choices": found}
        if not isinstance(found, Mapping | Parameter):
            single = "" if found is None else f"write [{shown(found)}] for a single choice, or "
            raise ValueError(
                f"found {shown(found)}; should be a list of choices or {{low: …, high: …}}; "
                f"{single}set it under `train:`"
            )
        return found

    @model_validator(mode="after")
    def _either_choices_or_range(self) -> Parameter:
        is_range = self.low is not None or self.high is not None
        if self.choices is not None:
            if is_range or self.log or self.step is not None:
                raise ValueError("has choices and a range; give one of the two")
            if not self.choices:
                raise ValueError("has no choices; name at least one value")
            if len(set(self._stored_choices)) < len(self.choices):
                raise ValueError(f"names a choice twice: {list(self.choices)}; keep one of each")
            return self
        if self.low is None or self.high is None:
            raise ValueError("needs a list of choices, or both `low` and `high`")
        if self.low >= self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}; swap or widen them")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low} with log: true; a logarithm needs low above 0")
        if self.log and self.step is not None:
            raise ValueError("has log and step; leave one out")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step {self.step}; must be above 0")
        return self

    @property
    def _stored_choices(self) -> tuple[Scalar, ...]:
        return tuple(map(as_scalar, self.choices or ()))

    @property
    def integral(self) -> bool:
        """Whether the range is one of integers."""
        return all(isinstance(end, int) for end in (self.low, self.high, self.step or 1))

    def distribution(self) -> BaseDistribution:
        """Return Optuna's form of the parameter."""
        from optuna import distributions

        if self.choices is not None:
            return distributions.CategoricalDistribution(self._stored_choices)
        if self.integral:
            return distributions.IntDistribution(
                int(self.low or 0), int(self.high or 0), log=self.log, step=int(self.step or 1)
            )
        return distributions.FloatDistribution(
            float(self.low or 0), float(self.high or 0), log=self.log, step=self.step
        )

    def grid_size(self) -> int | None:
        """Return how many values a grid search tries; None where there are endlessly many."""
        if self.choices is not None:
            return len(self.choices)
        step = self._grid_step
        if step is None or self.low is None or self.high is None:
            return None
        return int((self.high - self.low) / step + 1e-9) + 1

    def grid(self) -> tuple[Scalar, ...] | None:
        """List the values of a grid search as stored; None where there are endlessly many."""
        if self.choices is not None:
            return self._stored_choices
        count, step = self.grid_size(), self._grid_step
        if count is None or step is None or self.low is None:
            return None
        return tuple(self.low + place * step for place in range(count))

    @property
    def _grid_step(self) -> int | float | None:
        if self.log:
            return None
        return self.step if self.step is not None else 1 if self.integral else None

    def active(self, chosen: Mapping[str, Any]) -> bool:
        """Whether the parameter is searched beside the settings chosen before it."""
        return all(
            chosen.get(name) in map(as_scalar, values) for name, values in (self.when or {}).items()
        )

    def examples(self) -> tuple[Value, ...]:
        """List the values that show whether the parameter is legal.

        All choices; of a range both ends and the value next to the lower one.
        """
        if self.choices is not None or self.low is None or self.high is None:
            return self.choices or ()
        step = self.step or (1 if self.integral else None)
        if step is None:
            return self.low, self.high
        return self.low, min(self.low + step, self.high), self.high


Space = Mapping[str, Parameter]


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return Optuna's form of every parameter."""
    return {name: parameter.distribution() for name, parameter in space.items()}


def grid_points(space: Space) -> Iterator[dict[str, Any]]:
    """Yield every point of the grid once, the last parameter changing fastest.

    A parameter that is not active at a point is left out of it, so that the points it would
    have told apart are one.
    """
    seen = set()
    for values in itertools.product(*(parameter.grid() or () for parameter in space.values())):
        point: dict[str, Any] = {}
        for (name, parameter), value in zip(space.items(), values, strict=True):
            if parameter.active(point):
                point[name] = value
        key = repr(point)
        if key not in seen:
            seen.add(key)
            yield point


def settings_line(params: Mapping[str, Any]) -> str:
    """Write settings in one line: `optimizer=SGD lr0=0.01`."""
    return " ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in params.items()
    )
