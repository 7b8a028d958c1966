"""Values as JSON can hold them."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def plain(value: Any) -> Any:
    """Return a value in JSON's kinds; None where a number is not finite: JSON has none."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case Mapping():
            return {str(name): plain(part) for name, part in value.items()}
        case list() | tuple():
            return [plain(part) for part in value]
        case Path():
            return str(value)
        case _:
            return value
