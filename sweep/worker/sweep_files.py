"""Which files below the runs and reports are a sweep's own, and their removal."""

import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sweep import paths

_TAKEN_HOME = (paths.BEST_WEIGHTS, paths.BEST_SETTINGS)
_WRITTEN_AGAIN = (paths.SWEEP_FILE, paths.BEST_LOCK)


@dataclass(kw_only=True)
class SweepFiles:
    """The files of a sweep, as they were found on this machine."""

    trials: list[Path] = field(default_factory=list)
    """Folders of its trials."""
    others: list[Path] = field(default_factory=list)
    """Logs, and the copy of the sweep file."""
    best: list[Path] = field(default_factory=list)
    """What a user takes home."""
    reports: list[Path] = field(default_factory=list)
    """Page and tables, in their default folder."""
    folders: list[Path] = field(default_factory=list)
    """That hold these, inner ones first; removed when they are empty."""
    foreign: list[Path] = field(default_factory=list)
    """What lies among them and is not the sweep's: another program, database or person wrote it."""


def find_files(runs: Path, sweep: str, slots: Collection[int]) -> SweepFiles:
    """Look for the files of a sweep.

    Args:
        runs: The folder that its trials wrote under.
        sweep: Its name.
        slots: Ids of its slots: the folder of a trial says which slot it belongs to.
    """
    found, folder = SweepFiles(), runs / sweep
    for path in _inside(folder):
        if path.name in _TAKEN_HOME:
            found.best.append(path)
        elif path.name in (*_WRITTEN_AGAIN, paths.LOGS) or paths.is_unfinished(path.name):
            found.others.append(path)
        elif _is_folder(path):
            _find_trials(path, slots, found)
        else:
            found.foreign.append(path)
    reports = paths.report_folder(runs, sweep)
    for path in _inside(reports):
        ours = path.name in (paths.REPORT_PAGE, paths.REPORT_TABLES) or path.suffix == ".csv"
        (found.reports if ours or paths.is_unfinished(path.name) else found.foreign).append(path)
    found.folders += [path for path in (folder, reports) if _is_folder(path)]
    return found


def _find_trials(folder: Path, slots: Collection[int], found: SweepFiles) -> None:
    """Sort what is in a stage's folder."""
    if folder.name.isdigit():  # of a slot, as before
        (found.trials if int(folder.name) in slots else found.foreign).append(folder)
        return
    trials: list[Path] = []
    foreign: list[Path] = []
    for path in _inside(folder):
        (trials if _is_folder(path) and _is_of(path, slots) else foreign).append(path)
    if foreign and not trials:
        found.foreign.append(folder)
        return
    found.trials += trials
    found.foreign += foreign
    found.folders.append(folder)


def _is_of(trial: Path, slots: Collection[int]) -> bool:
    owners = paths.RunFolders.owners(trial)
    # An empty one is what is left of a trial's folder when its removal was cut off.
    return owners <= set(slots) if owners else not any(trial.iterdir())


def _inside(folder: Path) -> Sequence[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else ()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def remove_files(found: SweepFiles, *, everything: bool) -> None:
    """Remove a sweep's files; `everything` means the best weights and the reports, too.

    Of a trial's folder the mark that says whose it is goes last, so that what is cut off can be
    done again. What is gone already is passed over.

    Raises:
        OSError: If a file cannot be removed.
    """
    for trial in found.trials:
        _remove_trial(trial)
    for path in _chosen(found, everything=everything):
        _remove(path)
    for folder in found.folders:
        with suppress(OSError):  # it holds what stays
            folder.rmdir()


def _chosen(found: SweepFiles, *, everything: bool) -> Iterator[Path]:
    yield from found.others
    if everything:
        yield from (*found.best, *found.reports)


def _remove_trial(folder: Path) -> None:
    with suppress(FileNotFoundError):
        marks = []
        for path in _inside(folder):
            if paths.RunFolders.is_mark(path):
                marks.append(path)
            else:
                _remove(path)
        for mark in marks:
            mark.unlink()
        folder.rmdir()


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        if _is_folder(path):
            shutil.rmtree(path)
        else:
            path.unlink()
