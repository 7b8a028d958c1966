"""A training's data as JSON values."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweep.training.contract import EpochReport, TrialResult


def to_json(data: EpochReport | TrialResult) -> dict[str, Any]:
    """Return a dataclass as JSON values: paths as text, numbers that JSON lacks as null."""
    return {key: _json_value(value) for key, value in dataclasses.asdict(data).items()}


def _json_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _json_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(inner) for inner in value]
    return value
