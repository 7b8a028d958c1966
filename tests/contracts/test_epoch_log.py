"""A training's epochs reach the database whatever happens to it and to their worker."""

from collections.abc import Callable
from dataclasses import replace
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
from sweep.training.contract import Decision, EpochReport, TrainingBroken
from sweep.worker import pending_epochs
from sweep.worker.epoch_log import EpochLog
from sweep.worker.retry import Retry
from sweep.worker.shutdown import Shutdown
from tests.submission import submit

EPOCHS = 5
RECORD_EPOCH = Queue.record_epoch
SPEC = SweepSpec.model_validate(
    {
        "name": "one",
        "trainer": "sweep.testing:instant_trainer",
        "search": {"epochs": EPOCHS, "space": {"lr0": [1.0]}},
    }
)


@pytest.fixture
def database(engine: Engine, storage_url: str) -> Database:
    submit(engine, budget=1, epochs=EPOCHS)
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


@pytest.fixture
def pruning(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the pruner end the trial after epoch 2; return the epochs that it was asked about."""
    asked: list[int] = []

    def ask(_: EpochLog, epoch: int) -> Decision:
        asked.append(epoch)
        return Decision.PRUNE if epoch == 2 else Decision.CONTINUE

    monkeypatch.setattr(EpochLog, "_ask_pruner", ask)
    return asked


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("epoch", [1, 2])
def test_what_a_training_is_told_is_what_is_stored(
    *,
    database: Database,
    attempt: Callable[[], tuple[Lease, EpochLog]],
    monkeypatch: pytest.MonkeyPatch,
    pruning: list[int],
    epoch: int,
    committed: bool,
) -> None:
    lease, epoch_log = attempt()
    epoch_log._retry = Retry(Shutdown(), sleep=lambda _: None)
    decide, lost = Queue.record_decision, []

    def lose_answer(queue: Queue, lease: Lease, **decided: Any) -> None:
        loses = decided["epoch"] == epoch and not lost
        if committed or not loses:
            decide(queue, lease, **decided)
        if loses:
            lost.append(decided["epoch"])
            raise DatabaseGone("the connection broke")

    monkeypatch.setattr(Queue, "record_decision", lose_answer)
    told = [epoch_log.enter(report(number)) for number in (1, 2)]
    assert told == [Decision.CONTINUE, Decision.PRUNE]
    assert lost == [epoch]
    assert [decision for _, _, decision in stored(database)] == ["continue", "prune"]
    assert pruning == [1, 2], "and the pruner is asked once"
    database.queue.release(lease, "lost")
    _, epoch_log = attempt()
    epoch_log.recall()
    assert epoch_log.pruned_before()


def test_a_decision_that_was_told_stands_whatever_a_takeover_would_decide(
    database: Database,
    attempt: Callable[[], tuple[Lease, EpochLog]],
    outage: pytest.MonkeyPatch,
    pruning: list[int],
) -> None:
    lease, epoch_log = attempt()
    assert [epoch_log.enter(report(epoch)) for epoch in (1, 2)] == [Decision.CONTINUE] * 2
    outage.undo()
    assert pruning == []
    database.queue.release(lease, "lost")
    _, epoch_log = attempt()
    epoch_log.recall()
    assert not epoch_log.pruned_before()
    assert stored(database) == expected(1, 2)


@pytest.fixture
def taken_over(
    database: Database, attempt: Callable[[], tuple[Lease, EpochLog]]
) -> Callable[..., EpochLog]:
    """Return what commits epochs in a first attempt and begins the second one."""

    def take_over(*epochs: int) -> EpochLog:
        lease, epoch_log = attempt()
        for epoch in epochs:
            epoch_log.enter(report(epoch))
        database.queue.release(lease, "lost")
        lease, epoch_log = attempt()

        def begin_anew() -> int:
            database.queue.begin_anew(lease)
            trial_id, number, params = database.studies.start_trial(
                "one/search",
                slot=lease.slot.id,
                known=None,
                begun_before=True,
                params=lease.slot.params,
                distributions={"lr0": optuna.distributions.CategoricalDistribution([1.0])},
                suggest=lambda _: {},
                sampler=optuna.samplers.RandomSampler(),
                attempt=lease.attempt,
                since=lease.attempt - 1,
            )
            database.queue.record_trial(lease, trial_id=trial_id, number=number, params=params)
            return trial_id

        epoch_log._begin_anew = begin_anew
        epoch_log.recall()
        return epoch_log

    return take_over


def other(epoch: int) -> EpochReport:
    """Return what another device, or other versions, make of an epoch."""
    return made_up_epoch({}, seed=1, epoch=epoch)


def curves(database: Database) -> tuple[list[float], list[float]]:
    """Return the stored values, and those of the slot's trial."""
    (slot,) = read_sweep(database.engine, "one").stages[0].slots
    trials = optuna.load_study(study_name="one/search", storage=database.url).trials
    (trial,) = (trial for trial in trials if trial.number == slot.trial_number)
    return [found.map50_95 for found in slot.epochs], list(trial.intermediate_values.values())


def test_other_numbers_replace_those_before_as_a_whole(
    database: Database, taken_over: Callable[..., EpochLog]
) -> None:
    epoch_log = taken_over(1, 2, 3)
    epoch_log.enter(other(1))
    assert curves(database) == ([other(1).map50_95], [other(1).map50_95])
    epoch_log.enter(other(2))
    assert curves(database)[0] == curves(database)[1] == [other(e).map50_95 for e in (1, 2)]
    (slot,) = read_sweep(database.engine, "one").stages[0].slots
    assert slot.epochs_from == 2
    first, second = optuna.load_study(study_name="one/search", storage=database.url).trials
    assert (first.state, first.user_attrs["superseded_by"]) == (optuna.trial.TrialState.FAIL, 1)
    assert (second.number, second.user_attrs["supersedes"]) == (slot.trial_number, 0)


def test_the_same_numbers_replace_nothing(
    database: Database, taken_over: Callable[..., EpochLog]
) -> None:
    epoch_log = taken_over(1, 2)
    for epoch in (1, 2, 3):
        epoch_log.enter(replace(report(epoch), seconds=99.0))
    assert stored(database) == expected(1, 2, 3)
    (slot,) = read_sweep(database.engine, "one").stages[0].slots
    assert (slot.epochs_from, slot.trial_number) == (None, 0)


def test_a_training_that_goes_on_from_a_checkpoint_replaces_nothing(
    database: Database, taken_over: Callable[..., EpochLog]
) -> None:
    epoch_log = taken_over(1, 2, 3)
    epoch_log.enter(other(3))
    epoch_log.enter(report(4))
    assert stored(database) == expected(1, 2, 3, 4)


def test_numbers_that_differ_later_replace_all_from_there_on(
    database: Database, taken_over: Callable[..., EpochLog]
) -> None:
    epoch_log = taken_over(1, 2, 3)
    reports = [report(1), other(2), other(3)]
    for one in reports:
        epoch_log.enter(one)
    values = [one.map50_95 for one in reports]
    assert curves(database) == (values, values)


def test_epochs_are_replaced_after_an_outage_too(
    database: Database, taken_over: Callable[..., EpochLog], outage: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as none:
        none.setattr(Queue, "record_epoch", RECORD_EPOCH)
        epoch_log = taken_over(1, 2, 3)
    for epoch in (1, 2):
        epoch_log.enter(other(epoch))
    outage.undo()
    epoch_log.flush()
    assert curves(database)[0] == curves(database)[1] == [other(e).map50_95 for e in (1, 2)]


def test_what_contradicts_the_stored_epochs_is_not_gone_on_from(
    database: Database, attempt: Callable[[], tuple[Lease, EpochLog]], tmp_path: Path
) -> None:
    lease, epoch_log = attempt()
    epoch_log.enter(report(1))
    database.queue.release(lease, "lost")
    lease, _ = attempt()  # of other versions, in an outage that outlasts it
    for epoch in (1, 2):
        pending_epochs.keep(tmp_path / "2", other(epoch))
    database.queue.release(lease, "lost")
    _, epoch_log = attempt()
    epoch_log.recall()
    assert epoch_log.earlier == (tmp_path / "1",)
    assert stored(database) == expected(1)


def test_an_epoch_whose_predecessor_nobody_reported_is_refused(
    database: Database, attempt: Callable[[], tuple[Lease, EpochLog]]
) -> None:
    lease, epoch_log = attempt()
    epoch_log.enter(report(1))
    database.queue.release(lease, "lost")
    _, epoch_log = attempt()
    epoch_log.recall()
    with pytest.raises(TrainingBroken, match=r"found 3 first; reported before were 1, allowed is"):
        epoch_log.enter(report(3))
    assert stored(database) == expected(1)
    assert epoch_log.known == 1
    epoch_log.enter(report(2))
    assert stored(database) == expected(1, 2)
    assert epoch_log.known == 2
