"""Tables as the templates of pages show them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

NOTHING = "—"
"""What stands where there is no number."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One table cell that is more than text."""

    text: str
    number: float | None = None
    """What a click on the column's head sorts by; None sorts by the text, nothing last."""
    style: str = ""
    """CSS class."""


def number(value: float | None, digits: int = 3, *, signed: bool = False) -> Cell:
    """Return a number's cell; a signed one is coloured by its sign."""
    if value is None or not math.isfinite(value):
        return Cell(text=NOTHING, style="num")
    if not signed:
        return Cell(text=f"{value:.{digits}f}", number=value, style="num")
    rounded = round(value, digits)
    if rounded == 0:
        return Cell(text=f"{0:.{digits}f}", number=value, style="num same")
    return Cell(
        text=signed_text(value, digits),
        number=value,
        style=f"num {'up' if rounded > 0 else 'down'}",
    )


def signed_text(value: float, digits: int = 3) -> str:
    """Return a difference with its sign; one that rounds to zero has none."""
    rounded = round(value, digits)
    shown = f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"
    return shown.replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table in a box that scrolls sideways where the page is narrow; its first column stays."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    caption: str
    sortable: bool = False
    """Whether a click on a column's head sorts by it."""
    sorted_by: str | None = None
    """The column by which the rows are sorted already, the highest first."""
    best: int | None = None
    """The row that is marked as the best."""
    filterable: bool = False
    """Whether rows can be searched for words."""

    def numeric(self, column: int) -> bool:
        """Return whether all cells of a column are numbers; False without rows."""
        cells = [row[column] for row in self.rows]
        return bool(cells) and all(
            isinstance(cell, Cell) and cell.style.startswith("num") for cell in cells
        )
