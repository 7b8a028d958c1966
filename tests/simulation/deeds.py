"""What users do to sweeps, each in a process of its own, and what they may be told."""

from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import Engine

from storage.errors import CommandRefused, DatabaseGone, SweepExists, SweepNotFound
from storage.queue import commands, retrying
from sweep.api.status import status_of
from sweep.errors import InputError
from sweep.submission.retrain import add_retrain_stage
from tests.simulation.faults import Deed

REFUSALS = (CommandRefused, DatabaseGone, InputError, SweepExists, SweepNotFound)
"""What a user may be told; whatever else a command ends with is a fault of it."""
WORKERS = ("come", "leave", "leave at once")
"""Deeds that are done to workers."""


def do(engine: Engine, deed: Deed) -> str:
    """Do what a user does; return how it ended: `done`, or what the user was told."""
    try:
        _COMMANDS[deed.kind](engine, deed)
    except REFUSALS as error:
        return f"{type(error).__name__}: {error}"
    return "done"


def _look(engine: Engine, deed: Deed) -> None:
    found = status_of(engine, deed.sweep, trials=True)
    if found["state"] == "unreadable":
        raise AssertionError(f"status cannot be told: {found['error']}")


def _delete(engine: Engine, deed: Deed) -> None:
    """Delete the sweep, where there is such a command."""
    with suppress(ImportError, AttributeError):
        delete = commands.delete  # type: ignore[attr-defined]
        delete(engine, deed.sweep)


_COMMANDS: dict[str, Callable[[Engine, Deed], object]] = {
    "cancel": lambda engine, deed: commands.cancel(engine, deed.sweep),
    "pause": lambda engine, deed: commands.pause(engine, deed.sweep),
    "resume": lambda engine, deed: commands.resume(engine, deed.sweep),
    "priority": lambda engine, deed: commands.set_priority(engine, deed.sweep, deed.number),
    "retrain": lambda engine, deed: add_retrain_stage(engine, deed.sweep),
    "retry": lambda engine, deed: retrying.retry(engine, deed.sweep),
    "look": _look,
    "delete": _delete,
}
