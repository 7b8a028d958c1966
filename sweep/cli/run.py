"""The commands that train: `run`, `worker`, `retrain`."""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storage.errors import DatabaseGone
from sweep import paths
from sweep.api.database import open_database
from sweep.cli.console import new_console, task_display
from sweep.cli.logs import LogLevel, start_logging
from sweep.cli.options import (
    DeviceOption,
    LogLevelOption,
    PerGpu,
    Storage,
    SweepFile,
    SweepName,
    WorkerCount,
)
from sweep.errors import SweepError

if TYPE_CHECKING:
    from rich.console import Console

    from storage.database import Database
    from sweep.training.contract import Device

INTERRUPTED = 130

app = typer.Typer()


@app.command()
def run(
    file: SweepFile,
    storage: Storage = paths.DEFAULT_STORAGE,
    workers: WorkerCount = None,
    device: DeviceOption = None,
    per_gpu: PerGpu = 1,
    log_level: LogLevelOption = LogLevel.INFO,
) -> None:
    """Submit a sweep, work on it here, show progress, write the report. Again: continue."""
    from sweep.launch.local import choose_devices
    from sweep.submission.submit import load
    from sweep.submission.submit import submit as queue

    spec, console = load(file), new_console()
    devices = choose_devices(device, per_gpu=per_gpu, workers=workers)
    submitted = queue(storage, spec, file, progress=task_display(console))
    if not submitted.done:
        _work(submitted.database, spec.name, devices, console, log_level)
    _finish(submitted.database, spec.name, console, again=submitted.done)


@app.command()
def worker(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...")] = None,
    storage: Storage = paths.DEFAULT_STORAGE,
    device: DeviceOption = None,
    per_gpu: PerGpu = 1,
    drain: Annotated[bool, typer.Option(help="Leave when nothing is left to do.")] = False,
    log_level: LogLevelOption = LogLevel.INFO,
    log_file: Annotated[Path | None, typer.Option(help="Write the log to this file, too.")] = None,
    share: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Work on the sweeps named, or on all active ones: one worker a device share."""
    from storage.queue import sweeps
    from sweep.api.running import wait
    from sweep.launch.base import WorkerOptions
    from sweep.launch.launchers import LAUNCHERS
    from sweep.launch.local import choose_devices, read_share

    devices = [read_share(share)] if share else choose_devices(device, per_gpu=per_gpu)
    database = open_database(storage, create=True)
    names = names or []
    for name in names:
        sweeps.get(database.engine, name)  # or the user is told that there is none
    if len(devices) == 1:
        start_logging(log_level, log_file)
        _serve(database, devices[0], names, drain=drain)
        return
    logs = paths.WORKER_LOGS
    new_console().print(f"{len(devices)} workers; logs in {logs}")
    launcher = LAUNCHERS["local"]()
    options = WorkerOptions(
        storage=storage, names=names, drain=drain, log_folder=logs, log_level=log_level
    )
    launcher.start(devices, options)
    with contextlib.suppress(KeyboardInterrupt):
        wait(launcher, _listen())
    if launcher.failed:
        raise SweepError(f"a worker ended with an error; see {logs}")


@app.command()
def retrain(
    name: SweepName,
    storage: Storage = paths.DEFAULT_STORAGE,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Default: as in the file, else 100.")
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="A setting of the baseline, instead of the file's; repeat it."
        ),
    ] = None,
    workers: WorkerCount = None,
    device: DeviceOption = None,
    per_gpu: PerGpu = 1,
    log_level: LogLevelOption = LogLevel.INFO,
) -> None:
    """Retrain the best setting, beside a baseline where the file or `--baseline` names one."""
    from sweep.launch.local import choose_devices
    from sweep.submission.retrain import add_retrain_stage

    database, console = open_database(storage), new_console()
    devices = choose_devices(device, per_gpu=per_gpu, workers=workers)
    add_retrain_stage(database.engine, name, epochs=epochs, baseline=baseline or ())
    _work(database, name, devices, console, log_level)
    _finish(database, name, console)


def _work(
    database: "Database",
    name: str,
    devices: "list[Device]",
    console: "Console",
    log_level: LogLevel,
) -> None:
    """Work on a sweep and show its progress meanwhile."""
    from storage.snapshot.reader import read_summary
    from sweep.api import running
    from sweep.cli.live import progress_display

    logs = running.worker_logs(database, name)
    console.print(f"{len(devices)} workers on {name}; logs in {logs}", soft_wrap=True)
    pass_on_signals = _listen()
    with progress_display(console) as show:
        looked_s: float | None = None

        def tick() -> None:
            nonlocal looked_s
            pass_on_signals()
            with contextlib.suppress(DatabaseGone):  # the workers wait for it as well
                found = read_summary(database.engine, name, since_s=looked_s)
                looked_s = found.at_s
                show(found)
            database.rest()

        try:
            running.work(database, name, devices, log_level=log_level, on_tick=tick)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None


def _listen() -> Callable[[], None]:
    """Take over the signals to leave; return what raises KeyboardInterrupt after each of them."""
    from sweep.worker.shutdown import Shutdown

    shutdown = Shutdown()
    shutdown.listen()
    passed_on = 0

    def pass_on() -> None:
        nonlocal passed_on
        if shutdown.count > passed_on:
            passed_on = shutdown.count
            how = "at once" if shutdown.at_once else "after the epoch at hand; once more: at once"
            print(f"stopping {how}", file=sys.stderr)
            raise KeyboardInterrupt

    return pass_on


def _serve(database: "Database", device: "Device", names: list[str], *, drain: bool) -> None:
    from sweep.worker.shutdown import Shutdown
    from sweep.worker.worker import Worker

    shutdown = Shutdown()
    shutdown.listen()
    Worker(database, device=device, names=names, drain=drain, shutdown=shutdown).run()


def _finish(database: "Database", name: str, console: "Console", *, again: bool = False) -> None:
    """Say how a sweep ended and write its report; `again`: keep the one that is there."""
    from storage.snapshot.reader import read_summary, read_sweep
    from sweep.api import running
    from sweep.api.best import best_lines
    from sweep.cli.tables import as_table
    from sweep.worker.best_files import write_best

    console.print(as_table(read_summary(database.engine, name)))
    write_best(database.engine, name)  # where no worker could, or it ended before
    record = read_sweep(database.engine, name)
    page = running.report_page(record, keep=again)
    console.print(f"report: {page.resolve()}", soft_wrap=True)
    for line in best_lines(record):
        console.print(line, soft_wrap=True, markup=False)
    running.require_success(record)
