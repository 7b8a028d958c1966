"""The commands that control sweeps, and those that look after their database."""

import time

import typer

from storage.errors import DatabaseGone
from storage.states import SweepState
from sweep import paths
from sweep.api.database import open_database
from sweep.cli.options import Storage, SweepName
from sweep.errors import SweepError

WATCH_S = 1.0

app = typer.Typer(no_args_is_help=True)
db = typer.Typer(help="The schema of the database.", no_args_is_help=True)
app.add_typer(db, name="db")


@app.command()
def pause(name: SweepName, storage: Storage = paths.DEFAULT_STORAGE) -> None:
    """Let workers end their epochs and give their trials back, until `sweep resume`."""
    from storage.queue import commands

    commands.pause(open_database(storage).engine, name)
    print(f"{name} is paused; `sweep resume {name}` continues it")


@app.command()
def resume(name: SweepName, storage: Storage = paths.DEFAULT_STORAGE) -> None:
    """Continue a paused sweep."""
    from storage.queue import commands

    commands.resume(open_database(storage).engine, name)
    print(f"{name} is active")


@app.command()
def cancel(name: SweepName, storage: Storage = paths.DEFAULT_STORAGE) -> None:
    """End a sweep for good; what is complete stays."""
    from storage.queue import commands

    commands.cancel(open_database(storage).engine, name)
    print(f"{name} is cancelled; running trials end after their epoch")


@app.command()
def watch(name: SweepName, storage: Storage = paths.DEFAULT_STORAGE) -> None:
    """Show a sweep's state until it has ended (Ctrl-C ends the watching, not the sweep)."""
    from rich.console import Console
    from rich.live import Live

    from storage.snapshot.reader import read_summary
    from sweep.cli import tables

    engine = open_database(storage).engine
    with Live(console=Console(highlight=False), auto_refresh=False) as live:
        while True:
            try:
                found = read_summary(engine, name)
            except DatabaseGone:
                live.update("the database does not answer; waiting for it", refresh=True)
            else:
                live.update(tables.as_table(found), refresh=True)
                if found.state in (SweepState.DONE, SweepState.CANCELLED):
                    return
            engine.dispose()
            time.sleep(WATCH_S)


@db.command()
def check(storage: Storage = paths.DEFAULT_STORAGE) -> None:
    """Say whether the tables fit this program; exit code 1 when they do not."""
    from storage import schema
    from storage.engine import connectable_engine, opening

    engine = connectable_engine(storage, create=False)
    with opening(storage):
        found = schema.look(engine)
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
    from storage import schema
    from storage.engine import connectable_engine, opening

    with opening(storage):
        schema.upgrade(connectable_engine(storage))
    print(f"the tables are at revision {schema.HEAD}")
