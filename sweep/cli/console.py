"""How commands print."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def new_console(*, stderr: bool = False) -> "Console":
    """Return where to print."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def task_display(console: "Console") -> Callable[[str, int, int | None], None]:
    """Return a function that shows how far a preparatory task is."""
    from sweep.cli import live

    return live.task_display(console)


def print_json(found: object) -> None:
    """Print plain values for a program."""
    print(json.dumps(found, indent=2))
