"""A sweep, taken out of the database and off the disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from storage import failpoints
from storage.database import Database
from storage.errors import SweepNotFound
from storage.queue import deleting, sweeps
from storage.queue.sweeps import Sweep
from sweep import paths
from sweep.errors import SweepError
from sweep.worker.places import dataset_folder, runs_folder, standing
from sweep.worker.sweep_files import SweepFiles, find_files, remove_files

_NOT_HERE = "the folder of its runs is not on this machine: run the command there first"
_FOREIGN = "is not this sweep's; look at it, and remove it by hand"


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """What deleting a sweep takes away."""

    name: str
    state: str
    """Of the sweep; `deleted` where only files or studies are left of it."""
    everything: bool
    """Whether the best weights and the reports go, too."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """How many, by table."""
    studies: Mapping[str, int] = field(default_factory=dict)
    """Optuna's studies of it, and how many trials each has."""
    files: SweepFiles
    holders: tuple[str, ...] = ()
    """Workers that are at a trial of it now, which keep it from being deleted."""
    others_stay: Mapping[Path, str] = field(default_factory=dict)
    """What stays besides the files, and why."""

    @property
    def stays(self) -> Mapping[Path, str]:
        """What stays, and why."""
        kept = () if self.everything else (*self.files.best, *self.files.reports)
        return {
            **dict.fromkeys(kept, "`--all` removes it"),
            **dict.fromkeys(self.files.foreign, _FOREIGN),
            **self.others_stay,
        }

    @property
    def removes(self) -> Mapping[Path, Sequence[Path]]:
        """The files and folders that go: the trials together, by their stage's folder."""
        found: dict[Path, list[Path]] = {}
        for trial in self.files.trials:
            found.setdefault(trial.parent, []).append(trial)
        more = (*self.files.best, *self.files.reports) if self.everything else ()
        return {**found, **{path: [path] for path in (*self.files.others, *more)}}


def plan(database: Database, name: str, *, everything: bool = False) -> Deletion:
    """Look what deleting a sweep would take away; changes nothing.

    Raises:
        SweepNotFound: If there is no sweep of this name, and nothing is left of one.
    """
    try:
        sweep = sweeps.get(database.engine, name)
        found = deleting.inventory(database.engine, name)
    except SweepNotFound:
        left = _left_over(database, name, everything=everything)
        if left is None:
            raise
        return left
    runs = runs_folder(sweep, standing(database.engine))
    return Deletion(
        name=name,
        state=str(sweep.state),
        everything=everything,
        rows=found.rows,
        studies=database.studies.owned_by(name),
        files=find_files(runs, name, found.slots),
        holders=found.holders,
        others_stay=_shared(database, sweep, found.sharing, runs),
    )


def _shared(
    database: Database, sweep: Sweep, sharing: Sequence[str], runs: Path
) -> Mapping[Path, str]:
    here = sweep.runs.parent.is_dir() or (runs / sweep.name).is_dir()
    stays = {} if here else {sweep.runs / sweep.name: _NOT_HERE}
    dataset = dataset_folder(sweep, standing(database.engine))
    if dataset is not None:
        used = f"used by {', '.join(sharing)}" if sharing else "no other sweep here uses it"
        stays[dataset] = f"prepared dataset, {used}"
    return stays


def _left_over(database: Database, name: str, *, everything: bool) -> Deletion | None:
    """Look what is left of a sweep that was deleted: what was kept, and what came too late."""
    studies = database.studies.owned_by(name)
    for folder in standing(database.engine).folders:
        files = find_files(folder / paths.RUNS, name, ())
        if files.best and not (files.others or files.foreign):  # else it may be another database's
            break
    else:
        files = SweepFiles()
    if not (studies or files.best):
        return None
    return Deletion(name=name, state="deleted", everything=everything, studies=studies, files=files)


def delete(database: Database, name: str, *, everything: bool = False) -> Deletion:
    """Delete a sweep: mark it, then remove its files, its studies and its rows.

    Whatever ends this process in between, the same call takes away the rest.

    Args:
        database: Where it is.
        name: The sweep.
        everything: Whether the best weights and the reports go, too.

    Returns:
        What was there before.

    Raises:
        SweepNotFound: If there is no sweep of this name, and nothing is left of one.
        CommandRefused: If workers are at trials of it, or another process deletes one.
        SweepError: If a file cannot be removed.
    """
    engine = database.engine
    with deleting.alone(engine, name):
        before = plan(database, name, everything=everything)
        if before.rows:
            deleting.mark(engine, name)
        failpoints.reached(failpoints.DELETION_MARKED)
        found = plan(database, name, everything=everything)  # with what came before the mark
        try:
            remove_files(found.files, everything=everything)
        except OSError as error:
            raise SweepError(
                f"{error.filename or name}: cannot be removed ({error.strerror or error}); "
                f"mend that and run `sweep delete {name} --yes` again"
            ) from error
        failpoints.reached(failpoints.FILES_REMOVED)
        _remove_studies(database, name)
        failpoints.reached(failpoints.STUDIES_REMOVED)
        if before.rows:
            while deleting.remove_slots(engine, name):
                pass
            failpoints.reached(failpoints.SLOTS_REMOVED)
            deleting.remove(engine, name)
            failpoints.reached(failpoints.ROWS_REMOVED)
            _remove_studies(database, name)  # a worker that had just claimed may have made one
    return before


def _remove_studies(database: Database, name: str) -> None:
    for study in database.studies.owned_by(name):
        database.studies.remove(study)
