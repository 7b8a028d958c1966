"""What users do to sweeps, each in a process of its own, and what they may be told."""

from collections.abc import Callable

from storage.database import Database
from storage.errors import CommandRefused, DatabaseGone, SweepExists, SweepNotFound
from storage.queue import commands, retrying
from sweep.api.status import status_of
from sweep.errors import InputError, SweepError
from sweep.submission import deleting
from sweep.submission.retrain import add_retrain_stage
from tests.simulation.faults import Deed

REFUSALS = (CommandRefused, DatabaseGone, InputError, SweepError, SweepExists, SweepNotFound)
"""What a user may be told; whatever else a command ends with is a fault of it."""
WORKERS = ("come", "leave", "leave at once")
"""Deeds that are done to workers."""


def do(database: Database, deed: Deed) -> str:
    """Do what a user does; return how it ended: `done`, or what the user was told."""
    try:
        _COMMANDS[deed.kind](database, deed)
    except REFUSALS as error:
        return f"{type(error).__name__}: {error}"
    return "done"


def _look(database: Database, deed: Deed) -> None:
    found = status_of(database.engine, deed.sweep, trials=True)
    if found["state"] == "unreadable":
        raise AssertionError(f"status cannot be told: {found['error']}")


_COMMANDS: dict[str, Callable[[Database, Deed], object]] = {
    "cancel": lambda database, deed: commands.cancel(database.engine, deed.sweep),
    "pause": lambda database, deed: commands.pause(database.engine, deed.sweep),
    "resume": lambda database, deed: commands.resume(database.engine, deed.sweep),
    "priority": lambda database, deed: commands.set_priority(
        database.engine, deed.sweep, deed.number
    ),
    "retrain": lambda database, deed: add_retrain_stage(database.engine, deed.sweep),
    "retry": lambda database, deed: retrying.retry(database.engine, deed.sweep),
    "look": _look,
    "delete": lambda database, deed: deleting.delete(database, deed.sweep, everything=True),
}
