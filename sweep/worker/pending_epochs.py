"""Epochs that the database could not take yet, kept in an attempt's run folder.

A training that is told to go on may save its state, and whoever goes on from there does not report
the epochs before. So an epoch must be kept somewhere before its training is told to go on.
"""

import json
from pathlib import Path

from sweep import paths
from sweep.files.atomic_write import sync, sync_folder
from sweep.training.contract import EpochReport
from sweep.worker.serialization import to_json


def keep(run_folder: Path, report: EpochReport) -> None:
    """Add an epoch to those kept in a run folder; when this returns it is on the disk.

    Raises:
        OSError: If it cannot be written.
    """
    path = run_folder / paths.UNWRITTEN
    new = not path.exists()
    with path.open("a") as file:
        file.write(json.dumps(to_json(report)) + "\n")
        sync(file)
    if new:
        sync_folder(run_folder)


def kept(run_folder: Path) -> dict[int, EpochReport]:
    """Read the epochs kept in a run folder, by epoch."""
    found: dict[int, EpochReport] = {}
    try:
        text = (run_folder / paths.UNWRITTEN).read_text()
    except FileNotFoundError:
        return found
    # What follows the last line's end was cut off by a kill: no training went on after it.
    for line in text.split("\n")[:-1]:
        report = EpochReport(**json.loads(line))
        found[report.epoch] = report
    return found
