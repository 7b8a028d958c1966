"""How commands print."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from sweep.api.plain import plain

if TYPE_CHECKING:
    from rich.console import Console

_MEGABYTE = 2**20
_NARROWEST = 60
"""In characters: what a table needs; a narrower terminal folds its lines."""


def new_console(*, stderr: bool = False) -> "Console":
    """Return where to print; what looks like markup in a name or a message stays as it is."""
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    console.width = max(console.width, _NARROWEST)
    return console


def task_display(console: "Console") -> Callable[[str, int, int | None], None]:
    """Return a function that shows how far a preparatory task is, a line every tenth of it.

    Its arguments are what is done, how far it is, and how far it goes (None: not known, in bytes).
    """
    shown: dict[str, int] = {}

    def show(task: str, finished: int, total: int | None) -> None:
        tenth = finished * 10 // total if total else finished // (10 * _MEGABYTE)
        if shown.get(task) != tenth:
            shown[task] = tenth
            amount = f"{finished} of {total}" if total else f"{finished / _MEGABYTE:.0f} MB"
            console.print(f"{task}: {amount}")

    return show


def print_json(found: object) -> None:
    """Print plain values for a program."""
    print(json.dumps(plain(found), indent=2, allow_nan=False))
