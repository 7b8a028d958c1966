"""Working on a sweep here, until it is done."""

from collections.abc import Callable, Sequence
from pathlib import Path

from storage.database import Database
from storage.queue import sweeps
from storage.snapshot.records import SweepRecord
from storage.states import SlotState, SweepState
from sweep import paths
from sweep.api.database import errors_of_sweep
from sweep.api.patience import patiently
from sweep.api.results import Results, results_of
from sweep.api.submitting import queued
from sweep.errors import SweepError
from sweep.launch.base import Launcher, Leave, WorkerOptions
from sweep.launch.launchers import LAUNCHERS
from sweep.launch.local import choose_devices
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.base import ShownAs
from sweep.stages.plan import kind_of
from sweep.training.contract import Device
from sweep.worker.best_files import write_best
from sweep.worker.places import read_here, runs_folder, standing
from sweep.worker.shutdown import GRACE_S

_TICK_S = 0.5


def run(
    file_or_spec: str | Path | SweepSpec,
    *,
    storage: str | None = None,
    workers: int | None = None,
    device: str | None = None,
    per_gpu: int = 1,
) -> Results:
    """Submit a sweep, work on it here until it is done, write its report. Again: continue.

    Does what `sweep run` does; call it from the main thread. A KeyboardInterrupt lets every worker
    end its epoch, a second one does not; it is raised when they have left.

    Args:
        file_or_spec: As for `submit`.
        storage: URL of the database. None: as SWEEP_STORAGE says, else `sqlite:///sweep.db`.
        workers: How many. None: one a GPU share, or without a GPU one a core.
        device: `cpu`, or GPU numbers such as `0` or `0,1`. None: all GPUs, or the CPU.
        per_gpu: Trials that share one GPU.

    Raises:
        InputError: As `submit`, or if a device is not there.
        SweepError: If a worker failed, no trial or no retraining completed, or the sweep is paused
            or cancelled.

    >>> from pathlib import Path
    >>> import sweep
    >>> _ = Path("rates.yaml").write_text('''
    ... name: rates
    ... trainer: sweep.testing:instant_trainer
    ... search: {epochs: 2, space: {lr0: [0.1, 0.01]}}
    ... ''')
    >>> found = sweep.run("rates.yaml", workers=1)
    >>> max(found.trials, key=lambda trial: trial.map50_95).params
    {'lr0': 0.01}
    """
    devices = choose_devices(device, per_gpu=per_gpu, workers=workers)
    with errors_of_sweep():
        name, submitted = queued(file_or_spec, storage)
        if not submitted.done:
            work(submitted.database, name, devices)
        record = ended(submitted.database, name)
    report_page(record, keep=submitted.done)
    require_success(record)
    return results_of(record)


def work(
    database: Database,
    name: str,
    devices: Sequence[Device],
    *,
    log_level: str = "info",
    grace_s: float = GRACE_S,
    on_tick: Callable[[], None] = lambda: None,
) -> None:
    """Start workers for a sweep and wait as `wait` does until nothing is left to do.

    Raises:
        SweepError: If a worker ended with an error.
    """
    log_folder = worker_logs(database, name)
    launcher = LAUNCHERS["local"]()
    options = WorkerOptions(
        storage=database.url,
        names=[name],
        drain=True,
        log_folder=log_folder,
        log_level=log_level,
        grace_s=grace_s,
    )
    launcher.start(devices, options)
    database.rest()
    wait(launcher, on_tick)
    if launcher.failed:
        raise SweepError(f"a worker ended with an error; see {log_folder}; run again to continue")


def ended(database: Database, name: str) -> SweepRecord:
    """Write a sweep's best model and settings where no worker could; return the sweep.

    Raises:
        DatabaseGone: If the database is away for long.
    """
    patiently(lambda: write_best(database.engine, name))
    return patiently(lambda: read_here(database.engine, name))


def worker_logs(database: Database, name: str) -> Path:
    """Return the folder where the workers that `work` starts write their logs."""
    submission = patiently(lambda: sweeps.get(database.engine, name))
    return runs_folder(submission, standing(database.engine)) / name / paths.LOGS


def wait(launcher: Launcher, on_tick: Callable[[], None]) -> None:
    """Wait until all workers have left.

    Args:
        launcher: What started them.
        on_tick: Called now and then, and once when they have left.

    Raises:
        KeyboardInterrupt: If there was one meanwhile, or whatever `on_tick` raised. Each asks the
            workers to leave.
    """
    raised: BaseException | None = None
    while True:
        try:
            while launcher.running:
                on_tick()
                launcher.wait(_TICK_S)
            on_tick()
        except KeyboardInterrupt as found:
            raised = found
            launcher.stop(found.within_s if isinstance(found, Leave) else None)
        except BaseException as found:  # whatever it is, the workers must not be left alone
            if raised is None:
                launcher.stop()
            raised = raised or found
            if not launcher.running:
                break
            launcher.wait(_TICK_S)
        else:
            break
    if raised is not None:
        raise raised


def report_page(record: SweepRecord, *, keep: bool = False) -> Path:
    """Write a sweep's report and return its path; `keep` the one that is there."""
    page = paths.report_page(record.runs, record.name)
    if keep and page.exists():
        return page
    from sweep.report.page import build_report

    return build_report(record, page.parent)


def require_success(record: SweepRecord) -> None:
    """Check that a sweep came to its end, with something to show.

    Raises:
        SweepError: If not.
    """
    name = record.name
    if record.state is SweepState.PAUSED:
        raise SweepError(f"{name} is paused; `sweep resume {name}` continues it")
    if record.state is SweepState.CANCELLED:
        raise SweepError(f"{name} was cancelled; what is complete stays")
    slots = [slot for stage in record.stages for slot in stage.slots]
    mend = f"the report says why; `sweep retry {name}` queues them again"
    if all(slot.state is not SlotState.COMPLETE for slot in slots):
        raise SweepError(f"{name}: no trial completed; {mend}")
    retrained = [stage for stage in record.stages if stage.slots and _retrains(stage.name)]
    if retrained and all(slot.state is not SlotState.COMPLETE for slot in retrained[-1].slots):
        raise SweepError(f"{name}: no retraining completed; {mend}")


def _retrains(stage: str) -> bool:
    return kind_of(stage).shown_as is ShownAs.MODELS
