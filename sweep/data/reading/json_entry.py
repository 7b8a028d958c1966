"""Checked access to the values of a JSON file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sweep.errors import InputError


class Entry:
    """A JSON object, its place in the file, and checked access to its values.

    A value of null is one that is not given.
    """

    def __init__(self, file: Path, where: str, value: Any) -> None:
        self.file = file
        self.where = where
        if not isinstance(value, dict):
            raise self.error("", f"found {shown(value)}; must be an object {{…}}")
        self.value: dict[str, Any] = value

    def error(self, key: str, text: str) -> InputError:
        """Return what is wrong with a key; with the object itself if it is ""."""
        where = ".".join(part for part in (self.where, key) if part)
        return InputError(f"{self.file}: {where}: {text}" if where else f"{self.file}: {text}")

    def has(self, key: str) -> bool:
        """Whether a key is given: neither null nor an empty list."""
        return self.value.get(key) not in (None, [])

    def get(self, key: str) -> Any:
        """Return a value; InputError if it is not given."""
        found = self.value.get(key)
        if found is None:
            raise self.error(key, "missing; is this a COCO detection file?")
        return found

    def entries(self, key: str) -> "Iterator[Entry]":
        """Yield the objects of a list."""
        found = self.get(key)
        if not isinstance(found, list):
            raise self.error(key, f"found {shown(found)}; must be a list")
        for index, value in enumerate(found):
            yield Entry(self.file, f"{key}[{index}]", value)

    def integer(self, key: str) -> int:
        """Return a whole number; 5.0 is one."""
        found = self.get(key)
        if isinstance(found, float) and found.is_integer():
            return int(found)
        if not isinstance(found, int) or isinstance(found, bool):
            raise self.error(key, f"found {shown(found)}; must be a whole number")
        return found

    def size(self, key: str) -> int:
        """Return a number of pixels."""
        found = self.integer(key)
        if found < 1:
            raise self.error(key, f"found {found}; must be 1 or more pixels")
        return found

    def text(self, key: str) -> str:
        """Return a text that is not blank."""
        found = self.get(key)
        if not isinstance(found, str) or not found.strip():
            raise self.error(key, f"found {shown(found)}; must be a text")
        return found


def load_json(file: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: If it cannot be read, is not JSON, or holds NaN or infinity.
    """

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not a number that JSON knows")

    try:
        return json.loads(file.read_bytes(), parse_constant=refuse)
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read: {error.strerror}; check `source` in the dataset file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON: {error}; fetch or export the file again") from error


def shown(value: object) -> str:
    """Return a value for a message, cut to 60 characters."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}…"
