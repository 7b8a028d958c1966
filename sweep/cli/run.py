"""The commands that train: `run`, `worker`, `retrain`."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storage.errors import DatabaseGone, SweepNotFound
from sweep import paths
from sweep.api.database import open_database, open_once_there
from sweep.api.patience import patiently
from sweep.cli.console import new_console, task_display
from sweep.cli.endings import Interrupted
from sweep.cli.logs import LogLevel, log_file_handler, start_logging
from sweep.cli.options import (
    LARGEST,
    DeviceOption,
    Grace,
    LogLevelOption,
    PerGpu,
    Storage,
    SweepFile,
    SweepName,
    SweepNames,
    WorkerCount,
)
from sweep.errors import SweepError
from sweep.worker.shutdown import GRACE_S

if TYPE_CHECKING:
    from rich.console import Console

    from storage.database import Database
    from sweep.training.contract import Device
    from sweep.worker.shutdown import Shutdown

_LEFT = "left; what was begun goes on with the next worker"

app = typer.Typer()


@app.command()
def run(
    file: SweepFile,
    storage: Storage = paths.DEFAULT_STORAGE,
    workers: WorkerCount = None,
    device: DeviceOption = None,
    per_gpu: PerGpu = 1,
    grace_s: Grace = GRACE_S,
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
        _work(submitted.database, spec.name, devices, console, log_level, grace_s)
    _finish(submitted.database, spec.name, console, again=submitted.done)


@app.command()
def worker(
    names: SweepNames = None,
    storage: Storage = paths.DEFAULT_STORAGE,
    workers: WorkerCount = None,
    device: DeviceOption = None,
    per_gpu: PerGpu = 1,
    grace_s: Grace = GRACE_S,
    drain: Annotated[bool, typer.Option(help="Leave when nothing is left to do.")] = False,
    log_level: LogLevelOption = LogLevel.INFO,
    log_file: Annotated[Path | None, typer.Option(help="Write the log to this file, too.")] = None,
    share: Annotated[str | None, typer.Option(hidden=True)] = None,
    launched_by: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Work on the sweeps named, or on all active ones: one worker a device share."""
    from storage.queue import sweeps
    from sweep.launch.launched import obey
    from sweep.launch.local import choose_devices, read_share
    from sweep.worker.shutdown import Shutdown

    shutdown = Shutdown(grace_s)
    if launched_by is not None:
        obey(shutdown, launched_by)
    chosen = read_share(share) if share else None
    devices = [chosen] if chosen else choose_devices(device, per_gpu=per_gpu, workers=workers)
    # A share is given by what has opened the database just now.
    database = open_once_there(storage) if share else open_database(storage)
    names = names or []
    for name in names:  # or the user is told that there is none
        patiently(partial(sweeps.get, database.engine, name))
    if len(devices) == 1:
        start_logging(log_level, log_file)
        _serve(database, devices[0], names, drain=drain, shutdown=shutdown)
    else:
        _serve_together(database, devices, names, drain, log_level, log_file, shutdown)


@app.command()
def retrain(
    name: SweepName,
    storage: Storage = paths.DEFAULT_STORAGE,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, max=LARGEST, help="Default: as in the file, else 100."),
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
    grace_s: Grace = GRACE_S,
    log_level: LogLevelOption = LogLevel.INFO,
) -> None:
    """Retrain the best setting, beside a baseline where the file or `--baseline` names one."""
    from sweep.launch.local import choose_devices
    from sweep.submission.retrain import add_retrain_stage

    database, console = open_database(storage), new_console()
    devices = choose_devices(device, per_gpu=per_gpu, workers=workers)
    add_retrain_stage(database.engine, name, epochs=epochs, baseline=baseline or ())
    _work(database, name, devices, console, log_level, grace_s)
    _finish(database, name, console)


def _work(
    database: "Database",
    name: str,
    devices: "list[Device]",
    console: "Console",
    log_level: LogLevel,
    grace_s: float,
) -> None:
    """Work on a sweep and show its progress meanwhile."""
    from sweep.api import running
    from sweep.worker.shutdown import Shutdown

    logs = running.worker_logs(database, name)
    console.print(f"{_workers(devices)} on {name}; logs in {logs}", soft_wrap=True)
    with _progress(database, console, [name], Shutdown(grace_s)) as tick:
        running.work(database, name, devices, log_level=log_level, grace_s=grace_s, on_tick=tick)


def _workers(devices: "Sequence[Device]") -> str:
    return f"{len(devices)} worker{'s' if len(devices) > 1 else ''}"


@contextlib.contextmanager
def _progress(
    database: "Database", console: "Console", names: Sequence[str], shutdown: "Shutdown"
) -> Iterator[Callable[[], None]]:
    """Provide what shows how far the sweeps named are, or without names all that are active.

    It also raises `Leave` after each signal to leave.
    """
    from storage.queue import sweeps
    from storage.snapshot.reader import read_summary
    from storage.states import SweepState
    from sweep.cli.live import progress_display

    pass_on_signals = _listen(shutdown)
    looked_s: dict[str, float] = {}
    ended: set[str] = set()
    with progress_display(console) as show:

        def tick() -> None:
            pass_on_signals()
            with contextlib.suppress(DatabaseGone):  # the workers wait for it as well
                active = names or sweeps.active(database.engine)
                # What was active before is looked at once more, for how it ended.
                wanted = [name for name in dict.fromkeys([*looked_s, *active]) if name not in ended]
                found = []
                for name in wanted:
                    with contextlib.suppress(SweepNotFound):  # deleted meanwhile
                        found.append(
                            read_summary(database.engine, name, since_s=looked_s.get(name))
                        )
                looked_s.update((one.name, one.at_s) for one in found)
                show(*found)
                if not names:
                    over = (SweepState.DONE, SweepState.CANCELLED)
                    ended.update(one.name for one in found if one.state in over)
                    ended.difference_update(active)
            database.rest()

        yield tick


def _listen(shutdown: "Shutdown") -> Callable[[], None]:
    """Take over the signals to leave; return what raises `Leave` after each of them."""
    from storage.deadlines import hurry_when
    from sweep.launch.base import Leave

    shutdown.listen()
    hurry_when(lambda: shutdown.requested)  # the workers must hear of it soon
    passed_on = 0

    def pass_on() -> None:
        nonlocal passed_on
        if shutdown.count > passed_on:
            passed_on = shutdown.count
            within_s = shutdown.left_s
            epoch = "" if within_s is None else f", if it ends within {within_s:.0f} s"
            how = f"after the epoch at hand{epoch}; once more: at once"
            print(f"stopping {'at once' if shutdown.count > 1 else how}", file=sys.stderr)
            raise Leave(within_s)

    return pass_on


def _serve(
    database: "Database",
    device: "Device",
    names: list[str],
    *,
    drain: bool,
    shutdown: "Shutdown",
) -> None:
    """Be one worker; its log is on the terminal."""
    from sweep.worker.worker import Worker

    shutdown.listen()
    Worker(database, device=device, names=names, drain=drain, shutdown=shutdown).run()
    if shutdown.by_hand:
        raise Interrupted(_LEFT)


def _serve_together(
    database: "Database",
    devices: "list[Device]",
    names: list[str],
    drain: bool,
    log_level: LogLevel,
    log_file: Path | None,
    shutdown: "Shutdown",
) -> None:
    """Start a worker on each device share and show what they do until all have left."""
    from sweep.api.running import wait
    from sweep.launch.base import WorkerOptions
    from sweep.launch.launchers import LAUNCHERS

    if log_file is not None:
        log_file_handler(log_file).close()  # or the user is told before any worker starts
    logs, console, launcher = paths.WORKER_LOGS, new_console(), LAUNCHERS["local"]()
    console.print(f"{_workers(devices)}; logs in {logs}")
    options = WorkerOptions(
        storage=database.url,
        names=names,
        drain=drain,
        log_folder=logs,
        log_level=log_level,
        log_file=log_file,
        grace_s=shutdown.grace_s,
    )
    launcher.start(devices, options)
    with (
        contextlib.suppress(KeyboardInterrupt),
        _progress(database, console, names, shutdown) as tick,
    ):
        wait(launcher, tick)
    if launcher.failed:
        raise SweepError(f"a worker ended with an error; see {logs}")
    if shutdown.by_hand:
        raise Interrupted(_LEFT)
    why = "told to" if shutdown.requested else "nothing is left to do"
    console.print(f"the workers have left: {why}")


def _finish(database: "Database", name: str, console: "Console", *, again: bool = False) -> None:
    """Say how a sweep ended and write its report; `again`: keep the one that is there."""
    from storage.snapshot.reader import read_summary
    from sweep.api import running
    from sweep.api.best import best_lines
    from sweep.cli.tables import as_table

    console.print(as_table(patiently(lambda: read_summary(database.engine, name))))
    record = running.ended(database, name)
    page = running.report_page(record, keep=again)
    console.print(f"report: {page.resolve()}", soft_wrap=True)
    for line in best_lines(record):
        console.print(line, soft_wrap=True, markup=False)
    running.require_success(record)
