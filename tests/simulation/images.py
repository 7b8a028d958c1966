"""Databases as they are when a schedule begins, made once for each shape of sweeps."""

import copy
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
from tests.simulation.schedule import SHAPES


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
            for content in SHAPES[shape].sweeps:
                spec = SweepSpec.model_validate(content)
                submission = sweeps.Submission(
                    name=spec.name,
                    spec=spec.to_json(),
                    spec_hash=spec.hash(),
                    dataset=None,
                    fingerprint="",
                    runs=self._runs,
                    model=spec.model,
                    model_sha256=None,
                )
                sweeps.create(engine, submission, planned_stages(spec))
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
        storage = copy.copy(self._optuna)
        storage.scoped_session = scoped_session(sessionmaker(bind=engine))
        storage.engine = engine
        return storage

    def optuna_in(self, image: bytes) -> RDBStorage:
        """Return Optuna's storage on a database of its own that holds what an image holds."""
        connection = sqlite3.connect(":memory:")
        connection.deserialize(image)
        return self.optuna_on(
            create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
        )
