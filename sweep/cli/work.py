"""The commands that train: `run`, `worker`, `retrain`."""

import contextlib
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from storage.errors import DatabaseGone
from sweep import layout
from sweep.cli.console import new_console, open_database, task_display
from sweep.cli.options import DeviceOption, PerGpu, Storage, SweepFile, SweepName, WorkerCount
from sweep.errors import SweepError

if TYPE_CHECKING:
    from rich.console import Console

    from storage.database import Database
    from sweep.launch.local import LocalWorkers
    from sweep.training.job import Device

INTERRUPTED = 130
TICK_S = 0.5

app = typer.Typer()


@app.command()
def run(
    file: SweepFile,
    storage: Storage = layout.DEFAULT_STORAGE,
    workers: WorkerCount = None,
    device: DeviceOption = None,
    per_gpu: PerGpu = 1,
) -> None:
    """Submit a sweep, work on it here, show progress, write the report. Again: continue."""
    from sweep.launch.local import choose_devices
    from sweep.submit import load
    from sweep.submit import submit as queue

    spec, console = load(file), new_console()
    devices = choose_devices(device, per_gpu=per_gpu, workers=workers)
    submitted = queue(storage, spec, file, progress=task_display(console))
    if not submitted.done:
        _work(submitted.database, spec.name, devices, console)
    _finish(submitted.database, spec.name, console, again=submitted.done)


@app.command()
def worker(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...")] = None,
    storage: Storage = layout.DEFAULT_STORAGE,
    device: DeviceOption = None,
    per_gpu: PerGpu = 1,
    drain: Annotated[bool, typer.Option(help="Leave when nothing is left to do.")] = False,
    share: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Work on the sweeps named, or on all active ones: one worker a device share."""
    from sweep.launch.local import LocalWorkers, choose_devices, read_share

    devices = [read_share(share)] if share else choose_devices(device, per_gpu=per_gpu)
    database = open_database(storage)
    for name in names or ():
        _known(database, name)
    if len(devices) == 1:
        _serve(database, devices[0], names or [], drain=drain)
        return
    console = new_console()
    console.print(f"{len(devices)} workers; logs in {layout.WORKER_LOGS}")
    started = LocalWorkers(
        devices, storage=storage, names=names or [], drain=drain, log_folder=layout.WORKER_LOGS
    )
    _wait(started, on_tick=lambda: None)
    if started.failed:
        raise SweepError(f"a worker ended with an error; see {layout.WORKER_LOGS}")


@app.command()
def retrain(
    name: SweepName,
    storage: Storage = layout.DEFAULT_STORAGE,
    epochs: Annotated[int | None, typer.Option(min=1, help="Default: as in the file.")] = None,
    workers: WorkerCount = None,
    device: DeviceOption = None,
    per_gpu: PerGpu = 1,
) -> None:
    """Retrain the best setting beside the baseline, e.g. with other epochs than the file says."""
    from sweep.launch.local import choose_devices
    from sweep.retrain import add_retrain_stage

    database, console = open_database(storage, create=False), new_console()
    devices = choose_devices(device, per_gpu=per_gpu, workers=workers)
    add_retrain_stage(database.engine, name, epochs)
    _work(database, name, devices, console)
    _finish(database, name, console)


def _work(database: "Database", name: str, devices: "list[Device]", console: "Console") -> None:
    """Start workers for a sweep and show its progress until they have left."""
    from storage import progress, sweeps
    from sweep.launch.local import LocalWorkers
    from sweep.progress import ProgressDisplay

    logs = sweeps.get(database.engine, name).runs / name / "workers"
    console.print(f"{len(devices)} workers on {name}; logs in {logs}", soft_wrap=True)
    started = LocalWorkers(devices, storage=database.url, names=[name], drain=True, log_folder=logs)
    with ProgressDisplay(console) as display:
        looked_s: float | None = None

        def tick() -> None:
            nonlocal looked_s
            with contextlib.suppress(DatabaseGone):  # the workers wait for it as well
                found = progress.read(database.engine, name, since_s=looked_s)
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
    from sweep.stop import Stop

    stop = Stop()
    stop.listen()
    passed_on = 0
    while workers.running:
        if stop.count > passed_on:
            passed_on = stop.count
            workers.stop()
            how = "at once" if stop.at_once else "after the epoch at hand; once more: at once"
            print(f"stopping {how}", file=sys.stderr)
        on_tick()
        workers.wait(TICK_S)
    on_tick()
    return stop.requested


def _serve(database: "Database", device: "Device", names: list[str], *, drain: bool) -> None:
    from sweep.stop import Stop
    from sweep.worker import Worker

    stop = Stop()
    stop.listen()
    Worker(database, device=device, names=names, drain=drain, stop=stop, say=_say).run()


def _finish(database: "Database", name: str, console: "Console", *, again: bool = False) -> None:
    """Say how a sweep ended and write its report; `again`: keep the one that is there."""
    from storage import overview, progress
    from sweep.status import as_table

    console.print(as_table(progress.read(database.engine, name)))
    record = overview.read(database.engine, name)
    page = layout.report_page(name)
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
    from storage import sweeps

    sweeps.get(database.engine, name)


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # a full disk under the log must not end a worker
        print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)
