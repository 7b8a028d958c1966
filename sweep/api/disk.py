"""How much disk sweeps take here."""

from sqlalchemy import Engine

from storage.queue import sweeps
from sweep.files.disk_use import DiskUse, disk_use
from sweep.worker.places import runs_folder, standing

LOOK_S = 0.5
"""How long a look may take, in seconds: a sweep may have written any number of files."""


def disk_of_sweep(engine: Engine, name: str, *, limit_s: float = LOOK_S) -> DiskUse:
    """Count what lies in a sweep's folder below the runs: logs, weights, checkpoints.

    Images that trainings share, prepared datasets and reports are not among it.

    Raises:
        SweepNotFound: If there is no sweep of this name.
    """
    runs = runs_folder(sweeps.get(engine, name), standing(engine))
    return disk_use([runs / name], limit_s=limit_s)
