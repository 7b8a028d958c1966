"""Values in our tables that nobody of us has written there.

SQLite takes anything into any column, and whoever has the database may write into it. Reading a row
never raises: what is no value of its column is read as `Unreadable`, so that one row that was
spoilt hides no other. `storage.tables.record_of` makes no record of it.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Dialect,
    Enum,
    Float,
    Integer,
    MetaData,
    Row,
    String,
    TypeDecorator,
)
from sqlalchemy.types import TypeEngine

from storage.errors import RowUnreadable

_SHOWN = 40
"""Characters of a value in a message."""


@dataclass(frozen=True)
class Unreadable:
    """What was found in a column, and is none of its values."""

    place: str
    """The table and the column: `slots.params`."""
    found: str


class Readable(TypeDecorator[Any]):
    """A column's type, with every value that is none of it read as `Unreadable`.

    Args:
        kind: The type.
        place: The table and the column.
    """

    impl = String
    cache_ok = True

    def __init__(self, kind: TypeEngine[Any], place: str) -> None:
        self.kind = self.impl = kind  # type: ignore[assignment]
        self.place = place

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        """Return what reads a value of a result."""
        inner = super().result_processor(dialect, coltype)
        fits = _fits(self.kind)

        def read(value: Any) -> Any:
            if value is None:
                return None
            try:
                found = value if inner is None else inner(value)
                if fits(found):
                    return found
            except Exception:  # whatever a type makes of what it was not made for
                found = value
            return Unreadable(self.place, _shown(value))

        return read


def read_all_readably(tables: MetaData) -> None:
    """Let every column of our tables be read so; any value makes a truth value, as it is."""
    for table in tables.tables.values():
        for column in table.columns:
            if not isinstance(column.type, Boolean):
                column.type = Readable(column.type, f"{table.name}.{column.name}")


def require_readable(row: Row[*tuple[Any, ...]]) -> None:
    """Refuse a row in which something cannot be read.

    Raises:
        RowUnreadable: If so.
    """
    for value in row:
        if isinstance(value, Unreadable):
            raise unreadable(row, f"{value.place}: found {value.found}")


def unreadable(row: Row[Any], what: str) -> RowUnreadable:
    """Say of a row that something in it cannot be read."""
    known = row._mapping
    row_id = known.get("slot_id", known.get("id"))
    epoch = f", epoch {known['epoch']}" if "epoch" in known else ""
    slot = row_id if isinstance(row_id, int) else None
    return RowUnreadable(f"row {row_id}{epoch}: {what}", row=slot)


def _fits(kind: TypeEngine[Any]) -> Callable[[Any], bool]:
    """Return what tells whether a value is one of a type's."""
    if isinstance(kind, JSON):
        return lambda value: isinstance(value, dict)
    if isinstance(kind, Integer):
        return lambda value: type(value) is int
    if isinstance(kind, Float):
        return lambda value: type(value) in (int, float) and math.isfinite(value)
    if isinstance(kind, String) and not isinstance(kind, Enum):
        return lambda value: type(value) is str
    return lambda value: "\0" not in str(value)  # a path; states and times are made or not


def _shown(value: Any) -> str:
    text = ascii(value)  # one line, whatever it is
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


class _NoText(str):
    """Bytes that stand where a text should, readable for people and for nothing else."""

    __slots__ = ()


def as_text(stored: bytes) -> str:
    """Return a text of SQLite's; where it is no UTF-8, one that is none of a column's values."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return _NoText(stored.decode("utf-8", "backslashreplace"))


def from_json(stored: str | bytes) -> Any:
    """Read JSON as its standard has it: it knows no NaN and no infinity."""
    return json.loads(stored, parse_constant=_no_number)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
