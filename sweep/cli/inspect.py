"""The commands that only look: `status`, `report`, `export`, `dashboard`."""

from typing import Annotated, Any

import typer

from sweep import paths
from sweep.api.database import open_database
from sweep.cli.console import new_console, print_json
from sweep.cli.options import AsJson, Out, Storage, SweepName
from sweep.errors import InputError

app = typer.Typer()


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None,
    storage: Storage = paths.DEFAULT_STORAGE,
    as_json: AsJson = False,
) -> None:
    """Show what is running, done and failed, and why; without a name, of every sweep."""
    from storage.queue import sweeps
    from storage.snapshot.reader import read_summary, read_sweep
    from sweep.api.best import best_lines
    from sweep.api.status import status_of
    from sweep.cli.tables import as_table

    engine = open_database(storage).engine
    names = [name] if name else sweeps.names(engine)
    if as_json:
        found: Any = [status_of(engine, one) for one in names]
        print_json(found[0] if name else found)
        return
    console = new_console()
    for one in names:
        console.print(as_table(read_summary(engine, one)))
    if name:
        for line in best_lines(read_sweep(engine, name)):
            console.print(line, soft_wrap=True, markup=False)


@app.command()
def report(name: SweepName, storage: Storage = paths.DEFAULT_STORAGE, out: Out = None) -> None:
    """Write the report, one HTML file, and the CSV tables; also of an unfinished sweep."""
    from storage.snapshot.reader import read_sweep
    from sweep.report.page import build_report

    record = read_sweep(open_database(storage).engine, name)
    page = build_report(record, out or paths.report_folder(record.runs, name))
    new_console().print(f"report: {page}", soft_wrap=True)


@app.command()
def export(name: SweepName, storage: Storage = paths.DEFAULT_STORAGE, out: Out = None) -> None:
    """Write the CSV tables: one an optimizer and metric, all trials, all epochs."""
    from storage.snapshot.reader import read_sweep
    from sweep.report.tables import write_tables

    record = read_sweep(open_database(storage).engine, name)
    for table in write_tables(record, out or paths.report_folder(record.runs, name)):
        new_console().print(str(table), soft_wrap=True)


@app.command()
def dashboard(
    storage: Storage = paths.DEFAULT_STORAGE,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
) -> None:
    """Start optuna-dashboard on the studies; whoever reaches it may also change them."""
    try:
        from optuna_dashboard import run_server
    except ImportError as error:
        raise InputError(
            "dashboard: optuna-dashboard is not installed; pip install 'detsweep[dashboard]'"
        ) from error
    from storage.optuna.storage import open_storage

    database = open_database(storage)
    new_console().print(f"optuna-dashboard on http://{host}:{port}/ (Ctrl-C ends it)")
    run_server(open_storage(storage, database.engine), host=host, port=port)
