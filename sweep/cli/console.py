"""How commands print."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_MEGABYTE = 2**20


def new_console(*, stderr: bool = False) -> "Console":
    """Return where to print."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


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
            console.print(f"{task}: {amount}", highlight=False)

    return show


def print_json(found: object) -> None:
    """Print plain values for a program."""
    print(json.dumps(found, indent=2))
