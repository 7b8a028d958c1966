"""What a worker says to the database, without a training."""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
from sqlalchemy.orm import scoped_session, sessionmaker

from storage.database import Database
from storage.engine import connectable_engine
from storage.errors import DatabaseGone
from storage.optuna.private import use_engine
from storage.optuna.storage import open_storage
from storage.optuna.studies import Studies
from storage.process_identity import ProcessIdentity
from storage.queue.leases import Lease
from storage.queue.queue import Queue
from storage.states import SlotState
from sweep.spec.sweep_file import SweepSpec
from sweep.testing import made_up_epoch
from sweep.worker.epoch_log import EpochLog
from sweep.worker.retry import Retry
from sweep.worker.shutdown import Shutdown


@dataclass(kw_only=True)
class Found:
    """What some workers saw, in seconds."""

    claims: list[float] = field(default_factory=list)
    renewals: list[float] = field(default_factory=list)
    epochs: list[float] = field(default_factory=list)
    lost: int = 0
    outages: int = 0


def spec_of(pruner: str) -> SweepSpec:
    """Return the sweep that the workers serve."""
    return SweepSpec.model_validate(
        {
            "name": pruner,
            "trainer": "sweep.testing:instant_trainer",
            "search": {"epochs": 1000, "pruner": pruner, "space": {"lr0": [0.01]}},
        }
    )


def claimed(database: Database, worker: str) -> Lease:
    """Claim a slot."""
    lease = database.queue.claim(worker, ProcessIdentity.current())
    if lease is None:
        raise RuntimeError("the budget is too small for so many workers")
    return lease


def make_ready(database: Database, study: str, lease: Lease) -> int:
    """Begin the Optuna trial of a claimed slot and note it there; return the trial's id."""
    trial_id, number, params = database.studies.start_trial(
        study,
        slot=lease.slot.id,
        known=None,
        begun_before=False,
        params=lease.slot.params,
        distributions={"lr0": FloatDistribution(0, 1)},
        suggest=lambda _trial: {},
        sampler=optuna.samplers.RandomSampler(),
    )
    database.queue.record_trial(lease, trial_id=trial_id, number=number, params=params)
    return trial_id


class Office:
    """What the workers of one process share: SQL as text, and what each one asks once at its start.

    All of them begin within a minute on one computer here. Without this they would keep it busy
    with what workers elsewhere do on theirs.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine = connectable_engine(url)
        self._storage = open_storage(url, self._engine)
        self._engine.connect().close()
        self._engine.dispose()
        self._statements: dict[Any, Any] = {}

    def database(self) -> Database:
        """Return a database as one more worker opens it, with connections of its own."""
        own = copy.copy(self._engine)
        own.pool = self._engine.pool.recreate()
        engine = own.execution_options(compiled_cache=self._statements)
        storage = copy.copy(self._storage)
        storage.scoped_session = scoped_session(sessionmaker())
        use_engine(storage, engine)
        database = Database(url=self._url, engine=engine, queue=Queue(engine))
        database.__dict__["studies"] = Studies(storage)  # else the worker opened it itself
        return database


class _CountingRetry(Retry):
    """Counts the calls that did not reach the database."""

    def __init__(self, found: Found) -> None:
        super().__init__(Shutdown())
        self._found = found

    def note(self, gone: DatabaseGone | None) -> None:
        self._found.outages += gone is not None
        super().note(gone)


class Worker:
    """What a worker says to the database about trials that nobody trains."""

    def __init__(self, office: Office, pruner: str, name: str, found: Found) -> None:
        self._database = office.database()
        self._spec = spec_of(pruner)
        self._study = f"{pruner}/search"
        self._name = name
        self.patiently = _CountingRetry(found)

    @property
    def renewal_s(self) -> float:
        """How often the worker renews its lease, in seconds."""
        return self._database.queue.renewal_s

    def claim(self) -> None:
        """Claim a trial and make it ready."""
        lease = claimed(self._database, self._name)
        trial_id = make_ready(self._database, self._study, lease)
        self._lease, self._epoch = lease, 0
        self._epoch_log = EpochLog(
            self._database,
            self._spec,
            lease,
            trial_id=trial_id,
            stored=[],
            run_folder=Path("/nonexistent"),  # an outage is waited for
            earlier=(),
            retry=self.patiently,
        )

    def renew(self) -> None:
        """Renew the lease."""
        try:
            self._database.queue.renew(self._lease)
        except DatabaseGone as gone:  # the next one will do
            self.patiently.note(gone)

    def end_epoch(self) -> float:
        """Note an epoch and what is decided on it; return its objective."""
        self._epoch += 1
        report = made_up_epoch(self._lease.slot.params or {}, seed=0, epoch=self._epoch)
        self._epoch_log.enter(report)
        return report.map50_95

    def complete(self, values: dict[int, float]) -> None:
        """Settle the trial; `values` are the objectives of its epochs."""
        result = {
            "map50": 0.5,
            "map50_95": max(values.values()),
            "precision": 0.5,
            "recall": 0.5,
            "best_epoch": 1,
            "epochs": len(values),
            "seconds": 1.0,
            "effective": {},
        }
        queue = self._database.queue
        settled = queue.settle(self._lease, SlotState.COMPLETE, result=result)
        self._database.studies.project(settled, objective=self._spec.objective, values=values)
        queue.close(settled)

    def rest(self) -> None:
        """Hold no connection."""
        self._database.rest()
