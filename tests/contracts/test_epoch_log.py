"""A training's epochs reach the database whatever happens to it and to their worker."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from sqlalchemy import Engine

from storage.database import Database
from storage.errors import DatabaseGone
from storage.process_identity import ProcessIdentity
from storage.queue.leases import Lease
from storage.queue.queue import Queue
from storage.snapshot.reader import read_epochs, read_sweep
from sweep.spec.sweep_file import SweepSpec
from sweep.testing import made_up_epoch
from sweep.training.contract import Decision, EpochReport
from sweep.worker import pending_epochs
from sweep.worker.epoch_log import EpochLog
from sweep.worker.retry import Retry
from sweep.worker.shutdown import Shutdown
from tests.submission import submit

EPOCHS = 5
SPEC = SweepSpec.model_validate(
    {
        "name": "one",
        "trainer": "sweep.testing:instant_trainer",
        "search": {"epochs": EPOCHS, "space": {"lr0": [1.0]}},
    }
)


@pytest.fixture
def database(engine: Engine, storage_url: str) -> Database:
    submit(engine, budget=1)
    database = Database(url=storage_url, engine=engine, queue=Queue(engine))
    database.studies.ensure("one/search", metric=SPEC.objective, attributes={})
    return database


@pytest.fixture
def attempt(database: Database, tmp_path: Path) -> Callable[[], tuple[Lease, EpochLog]]:
    """Return what begins the next attempt at the slot."""

    def begin() -> tuple[Lease, EpochLog]:
        lease = database.queue.claim("worker", ProcessIdentity.current())
        assert lease is not None
        trial_id, number, params = database.studies.start_trial(
            "one/search",
            slot=lease.slot.id,
            known=lease.slot.trial_id,
            begun_before=False,
            params=lease.slot.params,
            distributions={"lr0": optuna.distributions.CategoricalDistribution([1.0])},
            suggest=lambda _: {},
            sampler=optuna.samplers.RandomSampler(),
        )
        database.queue.record_trial(lease, trial_id=trial_id, number=number, params=params)
        folders = [tmp_path / str(number) for number in range(lease.attempt, 0, -1)]
        folders[0].mkdir()
        epoch_log = EpochLog(
            database,
            SPEC,
            lease,
            trial_id=trial_id,
            stored=read_epochs(database.engine, lease.slot.id),
            run_folder=folders[0],
            earlier=tuple(folders[1:]),
            retry=Retry(Shutdown()),
        )
        return lease, epoch_log

    return begin


@pytest.fixture
def outage(database: Database, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let the database take no epochs until this is undone."""

    def away(*_: Any, **__: Any) -> None:
        raise DatabaseGone("the database does not answer")

    monkeypatch.setattr(Queue, "record_epoch", away)
    return monkeypatch


def report(epoch: int) -> EpochReport:
    return made_up_epoch({}, seed=0, epoch=epoch)


def stored(database: Database) -> list[tuple[int, float, str]]:
    (slot,) = read_sweep(database.engine, "one").stages[0].slots
    return [(found.epoch, found.map50, found.decision) for found in slot.epochs]


def expected(*epochs: int) -> list[tuple[int, float, str]]:
    return [(epoch, report(epoch).map50, "continue") for epoch in epochs]


def test_what_a_dead_worker_kept_is_committed_by_the_next(
    database: Database, attempt: Callable[[], tuple[Lease, EpochLog]], outage: pytest.MonkeyPatch
) -> None:
    lease, epoch_log = attempt()
    assert [epoch_log.enter(report(epoch)) for epoch in (1, 2)] == [Decision.CONTINUE] * 2
    database.queue.release(lease, "lost")
    outage.undo()
    _, epoch_log = attempt()
    epoch_log.recall()
    assert stored(database) == expected(1, 2)
    epoch_log.enter(report(3))
    assert stored(database) == expected(1, 2, 3)
    (trial,) = optuna.load_study(study_name="one/search", storage=database.url).trials
    assert trial.intermediate_values == {e: report(e).map50_95 for e in (1, 2, 3)}


def test_what_a_late_worker_kept_meanwhile_is_committed_at_the_end(
    database: Database, attempt: Callable[[], tuple[Lease, EpochLog]], tmp_path: Path
) -> None:
    lease, epoch_log = attempt()
    epoch_log.enter(report(1))
    database.queue.release(lease, "lost")
    _, epoch_log = attempt()
    epoch_log.recall()
    pending_epochs.keep(
        tmp_path / "1", report(2)
    )  # its training saves its state, ours goes on from it
    epoch_log.enter(report(3))
    epoch_log.recall()
    assert stored(database) == expected(1, 2, 3)


def test_an_epoch_that_can_be_kept_nowhere_waits_for_the_database(
    database: Database,
    attempt: Callable[[], tuple[Lease, EpochLog]],
    outage: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    lease, epoch_log = attempt()
    waited = []

    def end_outage(seconds: float) -> None:
        waited.append(seconds)
        outage.undo()

    epoch_log._retry = Retry(Shutdown(), sleep=end_outage)
    (tmp_path / "1" / "unwritten.jsonl").mkdir()
    assert epoch_log.enter(report(1)) is Decision.CONTINUE
    assert waited
    assert stored(database) == expected(1)
    assert [found.epoch for found in read_epochs(database.engine, lease.slot.id)] == [1]


def test_an_epoch_cut_off_by_a_kill_is_left_out(tmp_path: Path) -> None:
    for epoch in (1, 2):
        pending_epochs.keep(tmp_path, report(epoch))
    path = tmp_path / "unwritten.jsonl"
    path.write_text(path.read_text()[:-20])
    assert pending_epochs.kept(tmp_path) == {1: report(1)}
    assert pending_epochs.kept(tmp_path / "none") == {}
