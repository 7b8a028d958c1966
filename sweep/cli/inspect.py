"""The commands that only look: `status`, `watch`, `report`, `export`, `dashboard`."""

import socket
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from storage.errors import DatabaseGone, SweepNotFound
from storage.states import SweepState
from sweep import paths
from sweep.api.database import look, open_database
from sweep.cli.console import new_console, print_json
from sweep.cli.endings import Interrupted
from sweep.cli.options import AsJson, OptionalSweepName, ReportFolder, Storage, SweepName
from sweep.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy import Engine

WATCH_S = 1.0

app = typer.Typer()


@app.command()
def status(
    name: OptionalSweepName = None,
    trials: Annotated[
        bool, typer.Option("--trials", help="Show every trial of NAME, the best first.")
    ] = False,
    storage: Storage = paths.DEFAULT_STORAGE,
    as_json: AsJson = False,
) -> None:
    """Show what is running, done and failed, and why; without a name, of every sweep."""
    from storage.queue import sweeps
    from storage.snapshot.reader import read_summary, read_sweep
    from storage.snapshot.records import SweepSummary
    from sweep.api.best import best_lines
    from sweep.api.disk import LOOK_S, disk_of_sweep
    from sweep.api.status import status_of
    from sweep.cli import tables
    from sweep.files.disk_use import DiskUse
    from sweep.worker.faults import told
    from sweep.worker.places import read_here

    if trials and name is None:
        raise InputError("--trials: name a sweep, as in `sweep status NAME --trials`")
    engine = look(storage)
    names = sweeps.names(engine) if name is None else [name]
    if as_json:
        found: Any = [
            status_of(engine, one, trials=trials, disk_s=LOOK_S / len(names)) for one in names
        ]
        print_json(found if name is None else found[0])
        return
    console = new_console()
    if not names:
        console.print("no sweep here yet; `sweep submit FILE` queues one, `sweep run FILE` runs it")
        return
    rows: list[SweepSummary] = []
    disks: dict[str, DiskUse] = {}
    lines: list[str] = []
    for one in names:
        try:
            if trials:
                console.print(tables.trials_table(read_sweep(engine, one)))
                continue
            summary = read_summary(engine, one)
            disk = disk_of_sweep(engine, one, limit_s=LOOK_S / len(names))
            tables.sweeps_table([summary], {one: disk})  # that it can be shown
            rows.append(summary)
            disks[one] = disk
            lines += best_lines(read_here(engine, one)) if name else []
        except (DatabaseGone, SweepNotFound):
            raise
        except Exception as error:  # one sweep that cannot be read hides no other
            lines.append(f"{one}: {told(error)}")
    if rows:
        console.print(tables.as_table(rows[0]) if name else tables.sweeps_table(rows, disks))
        if name:
            console.print(f"its folder below the runs takes {tables.disk(disks[name])}")
    for line in lines:
        console.print(line, soft_wrap=True)


@app.command()
def watch(name: SweepName, storage: Storage = paths.DEFAULT_STORAGE) -> None:
    """Show a sweep's state until it has ended (Ctrl-C ends the watching, not the sweep)."""
    from sweep.worker.faults import telling_spoilt

    engine = look(storage)
    with telling_spoilt(engine, name):
        _watch(engine, name)


def _watch(engine: "Engine", name: str) -> None:
    from storage.snapshot.reader import read_summary
    from sweep.cli import tables
    from sweep.cli.live import progress_display

    console = new_console()
    found, away = read_summary(engine, name), False
    if not console.is_terminal:
        console.print(tables.as_table(found))
    try:
        with progress_display(console) as show:
            while True:
                show(found)
                if found.state in (SweepState.DONE, SweepState.CANCELLED):
                    break
                engine.dispose()
                time.sleep(WATCH_S)
                try:
                    found, away = read_summary(engine, name, since_s=found.at_s), False
                except SweepNotFound:
                    console.print(f"{name} was deleted")
                    return
                except DatabaseGone:
                    if not away:
                        console.print("the database does not answer; waiting for it")
                    away = True
    except KeyboardInterrupt:
        console.print(tables.as_table(found))
        raise Interrupted(f"watches no more; {name} is {found.state} as before") from None
    console.print(tables.as_table(found))


@app.command()
def report(
    name: SweepName, storage: Storage = paths.DEFAULT_STORAGE, out: ReportFolder = None
) -> None:
    """Write the report, one HTML file, and the CSV tables; also of an unfinished sweep."""
    from sweep.report.page import build_report
    from sweep.worker.faults import telling_spoilt
    from sweep.worker.places import read_here

    engine = look(storage)
    with telling_spoilt(engine, name):
        record = read_here(engine, name)
        page = build_report(record, out or paths.report_folder(record.runs, name))
    new_console().print(f"report: {page}", soft_wrap=True)


@app.command()
def export(
    name: SweepName, storage: Storage = paths.DEFAULT_STORAGE, out: ReportFolder = None
) -> None:
    """Write the CSV tables: one an optimizer and metric, all trials, all epochs."""
    from sweep.report.tables import write_tables
    from sweep.worker.faults import telling_spoilt
    from sweep.worker.places import read_here

    engine = look(storage)
    with telling_spoilt(engine, name):
        record = read_here(engine, name)
        written = write_tables(record, out or paths.report_folder(record.runs, name))
    for table in written:
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
    from storage.engine import is_read_only
    from storage.optuna.storage import open_storage

    engine = look(storage)
    if not is_read_only(storage):
        engine = open_database(storage).engine
    _check_address(host, port)
    new_console().print(f"optuna-dashboard on http://{host}:{port}/ (Ctrl-C ends it)")
    run_server(open_storage(storage, engine), host=host, port=port)
    raise Interrupted("the dashboard has ended; the sweeps go on")  # it returns from Ctrl-C alone


def _check_address(host: str, port: int) -> None:
    """Refuse an address that the server could not listen on.

    Raises:
        InputError: If it could not.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except (OSError, UnicodeError, TypeError) as error:  # the last two: no name of a host
        cause = getattr(error, "strerror", None) or error
        raise InputError(
            f"--host {host} --port {port}: cannot listen there ({cause}); name another"
        ) from error
