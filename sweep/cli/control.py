"""The commands that control sweeps, and those that look after their database."""

from typing import Annotated

import typer

from sweep import paths
from sweep.api.database import open_database
from sweep.cli.console import new_console, print_json
from sweep.cli.options import AsJson, Storage, SweepName, show_help_alone
from sweep.errors import SweepError
from sweep.training.contract import FailureKind

app = typer.Typer()
db = typer.Typer()


@app.command()
def pause(name: SweepName, storage: Storage = paths.DEFAULT_STORAGE) -> None:
    """Let workers end their epochs and give their trials back, until `sweep resume`."""
    from storage.queue import commands

    new = commands.pause(open_database(storage).engine, name)
    print(f"{name} is paused{_already(new)}; `sweep resume {name}` continues it")


@app.command()
def resume(name: SweepName, storage: Storage = paths.DEFAULT_STORAGE) -> None:
    """Continue a paused sweep."""
    from storage.queue import commands

    print(f"{name} is active{_already(commands.resume(open_database(storage).engine, name))}")


@app.command()
def cancel(name: SweepName, storage: Storage = paths.DEFAULT_STORAGE) -> None:
    """End a sweep for good; what is complete stays."""
    from storage.queue import commands

    if commands.cancel(open_database(storage).engine, name):
        print(f"{name} is cancelled; running trials end after their epoch")
    else:
        print(f"{name} is cancelled already; what is complete stays")


@app.command()
def retry(
    name: SweepName,
    storage: Storage = paths.DEFAULT_STORAGE,
    kinds: Annotated[
        list[FailureKind] | None,
        typer.Option("--kind", help="Only trials that failed so; may be given again."),
    ] = None,
) -> None:
    """Queue failed trials again, to begin anew with their settings."""
    from storage.queue import retrying

    count = retrying.retry(open_database(storage).engine, name, kinds or ())
    trials = "1 trial is" if count == 1 else f"{count} trials are"
    print(f"{name}: {trials} queued again; `sweep worker {name}` works on them")


@app.command()
def delete(
    name: SweepName,
    storage: Storage = paths.DEFAULT_STORAGE,
    everything: Annotated[
        bool, typer.Option("--all", help="The best weights and the reports, too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only show.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what deleting a sweep takes away; with `--yes` delete it, and its name is free again."""
    from sweep.cli.deletion import as_json as shown_as_json
    from sweep.cli.deletion import deletion_lines
    from sweep.submission import deleting

    database = open_database(storage)
    look_or_do = deleting.delete if yes else deleting.plan
    found = look_or_do(database, name, everything=everything)
    if as_json:
        print_json(shown_as_json(found, done=yes))
        return
    for line in deletion_lines(found, done=yes):
        new_console().print(line, soft_wrap=True)


def _already(new: bool) -> str:
    return "" if new else " already"


@db.callback(invoke_without_command=True)
def _db(context: typer.Context) -> None:
    """The schema of the database."""
    show_help_alone(context)


@db.command()
def check(storage: Storage = paths.DEFAULT_STORAGE) -> None:
    """Say whether the tables fit this program; exit code 1 when they do not."""
    from storage import database, schema

    found = database.look_at_schema(storage)
    if found.current:
        print(f"the tables are at revision {found.found}, as this program needs them")
    elif not found.known:
        raise SweepError(
            f"the tables are at {found.found}, newer than this program's {schema.HEAD}"
        )
    else:
        raise SweepError(
            f"the tables are at {found.found or 'no revision'}, this program needs {schema.HEAD}; "
            "run `sweep db upgrade`"
        )


@db.command()
def upgrade(storage: Storage = paths.DEFAULT_STORAGE) -> None:
    """Bring the tables to this program's revision; stop all workers first."""
    from storage import database, schema

    database.upgrade(storage)
    print(f"the tables are at revision {schema.HEAD}")
