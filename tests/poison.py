"""Rows that somebody spoilt by hand: every value of `VALUES` in every column of every table."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from storage.tables import VERSION_TABLE

VALUES = {
    "nothing": "NULL",
    "infinity": "9e999",
    "minus infinity": "-9e999",
    "zero": "0",
    "minus one": "-1",
    "a fraction": "0.5",
    "the largest": "9223372036854775807",
    "a row that is not there": "424",
    "text": "'zombie'",
    "no text": "''",
    "an odd text": "'a' || char(0) || char(27) || 'b'",
    "bytes": "x'ff00fe'",
    "no UTF-8": "CAST(x'61ff80' AS TEXT)",
    "broken JSON": "'{\"a\": '",
    "NaN in JSON": '\'{"lr0": NaN, "map50": Infinity}\'',
    "JSON nothing": "'null'",
    "a JSON list": "'[1, [2], {\"a\": null}]'",
    "an empty JSON object": "'{}'",
    "a deep JSON object": '\'{"lr0": {"a": [{}]}, "effective": 3, "losses": [1]}\'',
}
"""In SQL, by what they are; SQLite stores NaN as NULL."""


@dataclass(frozen=True)
class Column:
    """A column of a database."""

    table: str
    name: str

    def __str__(self) -> str:
        return f"{self.table}.{self.name}"


def columns(file: Path) -> Iterator[Column]:
    """Yield every column of a database, ours and Optuna's, but for the versions' tables."""
    with closing(sqlite3.connect(file)) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in sorted(names):
            if table not in (VERSION_TABLE, "alembic_version", "version_info", "sqlite_sequence"):
                for row in database.execute(f"PRAGMA table_info({table})"):
                    yield Column(table, row[1])


def spoil(file: Path, column: Column, value: str, *, row: int) -> bool:
    """Write a value of `VALUES` into the row-th row of a column; False if that cannot be done."""
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA foreign_keys = OFF")
        place = f"SELECT rowid FROM {column.table} ORDER BY rowid LIMIT 1 OFFSET ?"
        try:
            changed = database.execute(
                f"UPDATE {column.table} SET {column.name} = {VALUES[value]} "
                f"WHERE rowid = ({place})",
                (row,),
            )
            database.commit()
        except sqlite3.Error:  # a key that is taken, or nothing where the table takes none
            return False
        return changed.rowcount == 1
