"""What workers leave behind that ended between two steps, removed by any worker on this machine.

Nothing is removed that a living process of any machine may still want: checkpoints of attempts
that the tables call over and that nobody goes on from, unfinished files that nobody wrote to for a
day (by the clock of the disk that they lie on, for those of hosts differ), rows of workers that
gave no sign of life for a day, and folders of processes that let go of their lock.
"""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path

from storage.database import Database
from storage.errors import DatabaseGone, SweepNotFound
from storage.queue import sweeps, workers
from storage.queue.trials import settled_attempts
from sweep import paths
from sweep.training.process.scratch import remove_dead_scratch
from sweep.worker.places import dataset_folder, runs_folder, standing

AGAIN_S = 600.0
"""How often a worker looks."""
STEP_S = 0.2
"""How long it looks at a time, for it has trials to claim."""
FORGOTTEN_S = 24 * 3600.0

log = logging.getLogger(__name__)


class Leftovers:
    """Looks for them a while at each call of `tidy`.

    Args:
        database: Where the sweeps are.
        clock: Monotonic seconds.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._next = clock()
        self._looking: Iterator[None] | None = None

    def tidy(self) -> None:
        """Go on looking for `STEP_S`, or do nothing until it is time again; raises nothing."""
        if self._looking is None:
            if self._clock() < self._next:
                return
            self._looking, self._next = self._look(), self._clock() + AGAIN_S
        until = self._clock() + STEP_S
        try:
            for _ in self._looking:
                if self._clock() >= until:
                    return
        except (DatabaseGone, SweepNotFound, OSError) as error:
            log.debug("what was left behind stays for now: %s", error)
        except Exception:  # no reason to end a worker that trains
            log.warning("what was left behind cannot be removed", exc_info=True)
        self._looking = None

    def _look(self) -> Iterator[None]:
        """Remove what is found; yields now and then."""
        workers.forget(self._database.engine, unseen_s=FORGOTTEN_S)
        yield
        remove_dead_scratch()
        for name in sweeps.names(self._database.engine):
            yield
            with suppress(SweepNotFound):
                yield from self._of_sweep(name)

    def _of_sweep(self, name: str) -> Iterator[None]:
        engine = self._database.engine
        sweep, here = sweeps.get(engine, name), standing(engine)
        runs = runs_folder(sweep, here)
        if (runs / name).is_dir():
            yield from remove_from_trials(runs / name, settled_attempts(engine, name))
        reports = paths.report_folder(runs, name)
        places = [runs / name, reports, reports / paths.REPORT_TABLES]
        if (dataset := dataset_folder(sweep, here)) is not None:
            places.append(dataset / "labels")  # Ultralytics' cache of them
        for folder in places:
            yield
            remove_unfinished(folder)


def remove_from_trials(sweep: Path, settled: Mapping[int, int]) -> Iterator[None]:
    """Remove what is left to go on from in the folders of trials that are over.

    Args:
        sweep: The sweep's folder below the runs.
        settled: By the id of each settled slot its last attempt. A trial that is queued again after
            this was read has a later one, and goes on from none of these.
    """
    stages = [path for path in sweep.iterdir() if path.is_dir() and path.name != paths.LOGS]
    for trial in chain.from_iterable(stage.iterdir() for stage in stages):
        yield
        if not trial.is_dir():
            continue
        with suppress(OSError):
            owners = paths.RunFolders.owners(trial)
            last = min((settled.get(owner, 0) for owner in owners), default=0)
            for number, attempt in paths.attempts_in(trial).items():
                if number <= last:
                    paths.remove_checkpoints(attempt)


def remove_unfinished(folder: Path) -> None:
    """Remove files that were not written to their end, and were not written to for a day."""
    with suppress(OSError):
        unfinished = [path for path in folder.iterdir() if paths.is_unfinished(path.name)]
        if not unfinished:
            return
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".clock-") as probe:
            now = Path(probe.name).stat().st_mtime
        for path in unfinished:
            if now - path.stat().st_mtime > FORGOTTEN_S:
                path.unlink(missing_ok=True)
