"""Values of any library as plain ones: what JSON holds and any database takes.

A trainer's numbers may be NumPy's or PyTorch's, and what it has read in file names may be no text
at all. Nothing here imports those libraries.
"""

import math
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

from sweep.training.contract import TrainingBroken

LONGEST_TEXT = 2_000
"""Characters of a text; the rest is cut off."""
LONGEST_PATH = 4_096
"""Characters of a path."""
LONGEST_NAME = 100
"""Characters of a name of a setting, loss or class: Optuna's tables take 512, with a prefix."""
_DEEPEST = 4
"""So many lists and mappings may lie in one another."""
_LARGEST_WHOLE = 2**63 - 1


def text(value: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text in one line that any database and terminal takes.

    White space becomes blanks; other control characters, NUL among them, and lone surrogates, which
    stand for bytes that are no UTF-8, are written as escapes.
    """
    words = str.join(" ", str.split(str(value)))
    if len(words) > longest:
        words = words[: longest - 1] + "…"
    return "".join(one if _is_storable(one) else _escaped(one) for one in words)


def _is_storable(character: str) -> bool:
    code = ord(character)
    return not (code < 32 or 127 <= code < 160 or 0xD800 <= code < 0xE000)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def name(value: Any, where: str) -> str:
    """Return a name as `text` does.

    Raises:
        TrainingBroken: If it is no text, or empty or too long.
    """
    if not isinstance(value, str):
        raise TrainingBroken(f"{where}: found the name {shown(value)}; names are text")
    found = text(value, 4 * LONGEST_NAME)
    if not 0 < len(found) <= LONGEST_NAME:
        raise TrainingBroken(
            f"{where}: found a name of {len(found)} characters; allowed are 1 to {LONGEST_NAME}"
        )
    return found


def number(value: Any, where: str) -> float:
    """Return a number as a float, which may not be finite.

    Taken is whatever gives one float: integers, `Decimal`, and arrays and tensors of one element.
    Truth values and texts are none: they are more likely a mistake.

    Raises:
        TrainingBroken: If it is no number.
    """
    found = _item(value)
    if not isinstance(found, bool | str | bytes | bytearray):
        try:
            return float(float(found))  # of a subclass of float, float
        except Exception as error:  # whatever the library of it raises
            raise TrainingBroken(f"{where}: found {shown(value)}; allowed is a number") from error
    raise TrainingBroken(f"{where}: found {shown(value)}; allowed is a number")


def whole(value: Any, where: str, *, low: int = 0, high: int = _LARGEST_WHOLE) -> int:
    """Return a whole number of a range, which may be written as a float.

    Raises:
        TrainingBroken: If it is none.
    """
    found = number(value, where)
    if math.isfinite(found) and found.is_integer():
        exact = _item(value)
        integer = exact if type(exact) is int else int(found)
        if low <= integer <= high:
            return integer
    if high == _LARGEST_WHOLE:
        allowed = f"a whole number from {low} on"
    else:
        allowed = f"{low}" if low == high else f"{low} to {high}"
    raise TrainingBroken(f"{where}: found {shown(value)}; allowed is {allowed}")


def json_value(value: Any, where: str, depth: int = 0) -> Any:
    """Return what JSON can hold: of numbers that are not finite, null.

    Raises:
        TrainingBroken: If there is no such value.
    """
    found = _item(value)
    if isinstance(found, Enum):
        found = found.value
    if found is None or isinstance(found, bool):
        return found
    if isinstance(found, str | PurePath):
        return text(str(found))
    if isinstance(found, int):
        return whole(int(found), where, low=-_LARGEST_WHOLE)
    if isinstance(found, Mapping | list | tuple) or hasattr(found, "tolist"):
        if depth == _DEEPEST:
            raise TrainingBroken(f"{where}: found more than {_DEEPEST} lists in one another")
        if isinstance(found, Mapping):
            return mapping(found, where, lambda part, at: json_value(part, at, depth + 1))
        return [
            json_value(part, f"{where}[{place}]", depth + 1)
            for place, part in enumerate(_listed(found, where))
        ]
    try:
        converted = number(found, where)
    except TrainingBroken as error:
        raise TrainingBroken(
            f"{where}: found {shown(value)}; allowed are text, numbers, true, false, null, "
            "and lists of them"
        ) from error
    return converted if math.isfinite(converted) else None


def mapping(value: Any, where: str, convert: Any) -> dict[str, Any]:
    """Return a mapping by names, with each value converted by `convert(value, where)`.

    Raises:
        TrainingBroken: If it is none.
    """
    if not isinstance(value, Mapping):
        raise TrainingBroken(f"{where}: found {shown(value)}; allowed is a mapping by names")
    found = {name(key, where): part for key, part in value.items()}
    return {key: convert(part, f"{where}.{key}") for key, part in found.items()}


def shown(value: Any) -> str:
    """Say what a value is, in a message; whatever its own class says of it."""
    try:
        found = text(repr(value), 60)
    except Exception:  # its `__repr__` may raise anything
        found = "?"
    return f"{found} ({type(value).__name__})"


def _item(value: Any) -> Any:
    """Return the one element of an array or tensor; what is none, as it is."""
    if isinstance(value, int | float | str | bytes | Mapping | list | tuple):
        if isinstance(value, float) and type(value) is not float:
            return float(value)  # NumPy's float64 is one, too
        return value
    try:
        return value.item()
    except Exception:  # no array, or one of many elements
        return value


def _listed(value: Any, where: str) -> list[Any]:
    try:
        return list(value.tolist() if hasattr(value, "tolist") else value)
    except Exception as error:
        raise TrainingBroken(f"{where}: found {shown(value)}; it is no list") from error
