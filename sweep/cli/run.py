"""The commands that train: `run`, `worker`, `retrain`."""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storage.errors import DatabaseGone
from sweep import paths
from sweep.cli.console import new_console, open_database, task_display
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
    from sweep.launch.local import LocalWorkers
    from sweep.training.contract import Device

INTERRUPTED = 130
TICK_S = 0.5

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
    from sweep.launch.local import LocalWorkers, choose_devices, read_share

    devices = [read_share(share)] if share else choose_devices(device, per_gpu=per_gpu)
    database = open_database(storage)
    for name in names or ():
        _known(database, name)
    if len(devices) == 1:
        start_logging(log_level, log_file)
        _serve(database, devices[0], names or [], drain=drain)
        return
    console = new_console()
    console.print(f"{len(devices)} workers; logs in {paths.WORKER_LOGS}")
    started = LocalWorkers(
        devices,
        storage=storage,
        names=names or [],
        drain=drain,
        log_folder=paths.WORKER_LOGS,
        log_level=log_level,
    )
    _wait(started, on_tick=lambda: None)
    if started.failed:
        raise SweepError(f"a worker ended with an error; see {paths.WORKER_LOGS}")


@app.command()
def retrain(
    name: SweepName,
    storage: Storage = paths.DEFAULT_STORAGE,
    epochs: Annotated[int | None, typer.Option(min=1, help="Default: as in the file.")] = None,
    workers: WorkerCount = None,
    device: DeviceOption = None,
    per_gpu: PerGpu = 1,
    log_level: LogLevelOption = LogLevel.INFO,
) -> None:
    """Retrain the best setting beside the baseline, e.g. with other epochs than the file says."""
    from sweep.launch.local import choose_devices
    from sweep.stages.retrain import add_retrain_stage

    database, console = open_database(storage, create=False), new_console()
    devices = choose_devices(device, per_gpu=per_gpu, workers=workers)
    add_retrain_stage(database.engine, name, epochs)
    _work(database, name, devices, console, log_level)
    _finish(database, name, console)


def _work(
    database: "Database",
    name: str,
    devices: "list[Device]",
    console: "Console",
    log_level: LogLevel,
) -> None:
    """Start workers for a sweep and show its progress until they have left."""
    from storage.queue import sweeps
    from storage.snapshot.reader import read_summary
    from sweep.cli.live import ProgressDisplay
    from sweep.launch.local import LocalWorkers

    logs = sweeps.get(database.engine, name).runs / name / "workers"
    console.print(f"{len(devices)} workers on {name}; logs in {logs}", soft_wrap=True)
    started = LocalWorkers(
        devices,
        storage=database.url,
        names=[name],
        drain=True,
        log_folder=logs,
        log_level=log_level,
    )
    with ProgressDisplay(console) as display:
        looked_s: float | None = None

        def tick() -> None:
            nonlocal looked_s
            with contextlib.suppress(DatabaseGone):  # the workers wait for it as well
                found = read_summary(database.engine, name, since_s=looked_s)
                looked_s = found.at_s
                display.show(found)
            database.rest()

        stopped = _wait(started, on_tick=tick)
    if stopped:
        raise typer.Exit(INTERRUPTED)
    if started.failed:
        raise SweepError(f"a worker ended with an error; see {logs}; run again to continue")


def _wait(workers: "LocalWorkers", *, on_tick: Callable[[], None]) -> bool:
    """Wait until all workers have left, passing signals on to them; whether there were any."""
    from sweep.worker.shutdown import Shutdown

    shutdown = Shutdown()
    shutdown.listen()
    passed_on = 0
    while workers.running:
        if shutdown.count > passed_on:
            passed_on = shutdown.count
            workers.stop()
            how = "at once" if shutdown.at_once else "after the epoch at hand; once more: at once"
            print(f"stopping {how}", file=sys.stderr)
        on_tick()
        workers.wait(TICK_S)
    on_tick()
    return shutdown.requested


def _serve(database: "Database", device: "Device", names: list[str], *, drain: bool) -> None:
    from sweep.worker.shutdown import Shutdown
    from sweep.worker.worker import Worker

    shutdown = Shutdown()
    shutdown.listen()
    Worker(database, device=device, names=names, drain=drain, shutdown=shutdown).run()


def _finish(database: "Database", name: str, console: "Console", *, again: bool = False) -> None:
    """Say how a sweep ended and write its report; `again`: keep the one that is there."""
    from storage.snapshot.reader import read_summary, read_sweep
    from sweep.cli.tables import as_table

    console.print(as_table(read_summary(database.engine, name)))
    record = read_sweep(database.engine, name)
    page = paths.report_page(name)
    if not (again and page.exists()):
        from sweep.report.page import build_report

        page = build_report(record, page.parent)
    console.print(f"report: {page.resolve()}", soft_wrap=True)
    if record.state == "paused":
        raise SweepError(f"{name} is paused; `sweep resume {name}` continues it")
    if record.state == "cancelled":
        raise SweepError(f"{name} was cancelled; what is complete stays")
    if all(slot.state != "complete" for stage in record.stages for slot in stage.slots):
        raise SweepError(f"{name}: no trial completed; the report says why")


def _known(database: "Database", name: str) -> None:
    from storage.queue import sweeps

    sweeps.get(database.engine, name)
