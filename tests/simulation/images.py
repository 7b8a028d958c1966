"""Databases as they are when a schedule begins, made once for each shape of sweeps."""

import sqlite3
from pathlib import Path

from optuna.storages import RDBStorage
from sqlalchemy import Engine, StaticPool, create_engine
from sqlalchemy.orm import scoped_session, sessionmaker

from storage.database import Database
from storage.engine import connectable_engine
from storage.queue import sweeps
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.plan import planned_stages
from tests.simulation.schedule import SHAPES, Shape


def submit_shape(engine: Engine, shape: Shape, runs: Path) -> None:
    """Queue the sweeps of a shape.

    Args:
        engine: Of a database with our tables.
        shape: The sweeps.
        runs: Where their trials write.
    """
    for content in shape.sweeps:
        spec = SweepSpec.model_validate(content)
        submission = sweeps.Submission(
            name=spec.name,
            spec=spec.to_json(),
            spec_hash=spec.hash(),
            dataset=None,
            fingerprint="",
            runs=runs,
            model=spec.model,
            model_sha256=None,
        )
        sweeps.create(engine, submission, planned_stages(spec))


def optuna_on(opened: RDBStorage, engine: Engine) -> RDBStorage:
    """Return Optuna's storage as it was opened, on another engine whose database has its tables."""
    storage = RDBStorage.__new__(RDBStorage)
    vars(storage).update(vars(opened))  # to copy it would open it again
    storage.scoped_session = scoped_session(sessionmaker(bind=engine))
    storage.engine = engine
    return storage


class Images:
    """Makes databases with all tables, ours and Optuna's, and with the sweeps of a shape.

    Args:
        folder: Where to put them while they are made.
        runs: Where the trials of the sweeps write.
    """

    def __init__(self, folder: Path, runs: Path) -> None:
        self._file = folder / "image.db"
        self._url = f"sqlite:///{self._file}"
        self._runs = runs
        self._of: dict[int, bytes] = {}
        Database.open(self._url).engine.dispose()
        self._optuna = RDBStorage(self._url)
        self._optuna.engine.dispose()
        self._empty = self._taken()

    def of(self, shape: int) -> bytes:
        """Return a database with the sweeps of a shape, as they are after `sweep submit`."""
        if shape not in self._of:
            self._file.write_bytes(self._empty)
            engine = connectable_engine(self._url)
            submit_shape(engine, SHAPES[shape], self._runs)
            engine.dispose()
            self._of[shape] = self._taken()
        return self._of[shape]

    def _taken(self) -> bytes:
        """Return what the file holds, without a log beside it; an image in memory has none."""
        with sqlite3.connect(self._file) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
        connection.close()
        image = self._file.read_bytes()
        self._file.unlink()
        return image

    def optuna_on(self, engine: Engine) -> RDBStorage:
        """Return Optuna's storage, not opened again, on an engine whose database has its tables."""
        return optuna_on(self._optuna, engine)

    def optuna_in(self, image: bytes) -> RDBStorage:
        """Return Optuna's storage on a database of its own that holds what an image holds."""
        connection = sqlite3.connect(":memory:")
        connection.deserialize(image)
        return self.optuna_on(
            create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
        )
