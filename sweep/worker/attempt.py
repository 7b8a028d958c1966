"""One attempt at one slot: from its lease to its final state."""

import logging
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from storage import failpoints
from storage.database import Database
from storage.errors import DatabaseGone, TrialGone
from storage.queue.leases import Lease
from storage.queue.settling import Settled
from storage.queue.stages import settings_of
from storage.queue.sweeps import Submission
from storage.queue.trials import begun
from storage.snapshot.reader import read_epochs
from storage.states import SweepState
from sweep.search.pruners import PRUNERS
from sweep.search.samplers import sampler_for, suggest
from sweep.spec.space import settings_line
from sweep.spec.sweep_file import SweepSpec
from sweep.spec.value import as_given
from sweep.stages.base import Settings
from sweep.stages.plan import ensure_study, kind_of
from sweep.training.contract import (
    Decision,
    Device,
    EpochReport,
    FailureKind,
    TrainingBroken,
    TrialJob,
)
from sweep.training.process.child import ChildProcess
from sweep.training.process.messages import (
    Completed,
    EpochDone,
    Failed,
    Message,
    Stopped,
    Unable,
)
from sweep.worker.epoch_log import EpochLog
from sweep.worker.image_sharing import image_cache_place
from sweep.worker.lease_keeper import LeaseKeeper
from sweep.worker.notes import note_of_begun
from sweep.worker.outcome import NOT_HERE, Outcome
from sweep.worker.places import NotHere
from sweep.worker.readiness import Readiness
from sweep.worker.restore import restore
from sweep.worker.retry import Retry
from sweep.worker.run_folders import attempt_folders
from sweep.worker.shutdown import Shutdown

_POLL_S = 0.5
Found = TypeVar("Found")


class _TrialLog(logging.LoggerAdapter[logging.Logger]):
    """Puts the name of a trial in front of what is logged of it."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(__name__))
        self.trial = name

    def process(
        self, msg: str, kwargs: MutableMapping[str, Any]
    ) -> tuple[str, MutableMapping[str, Any]]:
        return f"{self.trial}: {msg}", kwargs


class Attempt:
    """One attempt at one slot.

    Args:
        database: Where the slot is.
        submission: The slot's sweep, with its files as they are found from here.
        spec: The slot's sweep, parsed.
        lease: The right to the slot.
        device: The share of a device to train on.
        shutdown: Whether this process was told to leave.
        retry: Repeats calls while the database is away.
        readiness: Knows what trainings of the sweep lack here.
        keeper: Renews the lease.
    """

    def __init__(
        self,
        database: Database,
        submission: Submission,
        spec: SweepSpec,
        lease: Lease,
        *,
        device: Device,
        shutdown: Shutdown,
        retry: Retry,
        readiness: Readiness,
        keeper: LeaseKeeper,
    ) -> None:
        self._database = database
        self._queue = database.queue
        self._submission = submission
        self._spec = spec
        self._lease = lease
        self._slot = lease.slot
        self._kind = kind_of(lease.slot.stage)
        self._device = device
        self._shutdown = shutdown
        self._retry = retry
        self._log = _TrialLog(f"{self._slot.study} slot {self._slot.ordinal}")
        self._keeper = keeper
        self._next_flush = time.monotonic() + self._queue.renewal_s
        self._stage_settings: Sequence[Settings] = ()
        self._trial_begun = lease.attempt > 1  # a call that an outage broke may have made it too
        self._readiness = readiness
        self._outcome = Outcome(
            self._queue,
            submission,
            spec,
            lease,
            retry=retry,
            lack=lambda: readiness.look_again(self._slot.sweep),
            log=self._log,
        )

    def run(self) -> Settled | None:
        """Train the slot's trial to its end; None if the slot was given back.

        Raises:
            LeaseLost: If another worker holds the slot now; the training was dropped.
            DatabaseGone: If the database was away when this process had to leave at once.
        """
        if self._retry(lambda: self._queue.sweep_state(self._lease)) is SweepState.CANCELLED:
            return self._outcome.cancel()
        if self._lease.lost > self._spec.retries.lost:
            return self._outcome.fail(
                Failed(FailureKind.LOST, f"{self._lease.lost} workers vanished while at it")
            )
        number, params = self._retry(self._begun)
        self._log.trial = f"{self._slot.study} trial {number}"
        self._retry(lambda: self._restored(self._epoch_log.recall))
        if self._retry(lambda: self._restored(self._epoch_log.pruned_before)):
            return self._outcome.prune()
        if self._shutdown.requested:
            return self._conclude(Stopped(Decision.STOP))
        self._log.info("%s", settings_line(params))
        child = ChildProcess.start(self._job(params))
        try:
            message = self._follow(child)
        finally:
            child.kill()
        self._retry(lambda: self._restored(self._epoch_log.recall))
        return self._conclude(message)

    def _begun(self) -> tuple[int, Mapping[str, Any]]:
        try:
            return self._start_trial()
        except TrialGone:
            self._retry(self._restore)
            return self._start_trial()

    def _restored(self, call: Callable[[], Found]) -> Found:
        """Return what `call` returns; where Optuna lost the trial, it is made again before."""
        try:
            return call()
        except TrialGone:
            trial_id = self._retry(self._restore)
            if trial_id is not None:
                self._epoch_log.trial_id = trial_id
            return call()

    def _restore(self) -> int | None:
        """Make again what Optuna lost of the sweep; return the slot's trial."""
        restore(self._database, self._submission, self._spec)
        for slot in begun(self._database.engine, self._slot.stage_id):
            if slot.id == self._slot.id:
                self._slot = replace(
                    self._slot, trial_id=slot.trial_id, trial_number=slot.trial_number
                )
        return self._slot.trial_id

    def _start_trial(self) -> tuple[int, Mapping[str, Any]]:
        slot, spec = self._slot, self._spec
        if not self._kind.searches:
            self._stage_settings = settings_of(self._database.engine, slot.stage_id)
        number, params = self._make_trial(since=self._lease.since)
        self._folders = attempt_folders(self._submission.runs, self._lease, number)
        self._note(number, params)
        before = read_epochs(self._database.engine, slot.id) if self._lease.attempt > 1 else []
        self._epoch_log = EpochLog(
            self._database,
            spec,
            self._lease,
            trial_id=self._trial_id,
            stored=before,
            run_folder=self._folders.own,
            earlier=self._folders.earlier,
            retry=self._retry,
            begin_anew=lambda: self._begin_anew(params),
        )
        return number, params

    def _begin_anew(self, params: Mapping[str, Any]) -> int:
        """Let the slot's epochs count from this attempt on, in a trial of their own; return it."""
        self._log.warning("cannot go on from the epochs before; they are replaced as a whole")
        self._queue.begin_anew(self._lease)
        self._slot = replace(self._slot, trial_id=None, trial_number=None, params=params)
        number, _ = self._make_trial(since=self._lease.attempt - 1)
        self._log.trial = f"{self._slot.study} trial {number}"
        self._note(number, params)
        return self._trial_id

    def _make_trial(self, *, since: int) -> tuple[int, Mapping[str, Any]]:
        """Find or make the slot's trial, and note it; return its number and settings."""
        slot, spec = self._slot, self._spec
        begun_before, self._trial_begun = self._trial_begun, True
        ensure_study(self._database, self._submission, slot.study, spec)
        distributions = self._kind.distributions(spec, self._stage_settings)
        if slot.trial_id is None:
            made = self._database.studies.make_up_to(
                self._database.engine, slot, distributions=distributions
            )
            if made is not None:
                self._slot = slot = replace(slot, trial_id=made[0], trial_number=made[1])
        self._trial_id, number, params = self._database.studies.start_trial(
            slot.study,
            slot=slot.id,
            known=slot.trial_id,
            begun_before=begun_before,
            params=slot.params,
            distributions=distributions,
            suggest=lambda trial: suggest(trial, spec.search.space),
            sampler=sampler_for(spec.search, slot.ordinal),
            pruner=PRUNERS[self._kind.pruner(spec)](slot.stage_epochs),
            label=slot.label,
            attempt=self._lease.attempt,
            since=since,
        )
        failpoints.reached(failpoints.TRIAL_MADE)
        self._queue.record_trial(self._lease, trial_id=self._trial_id, number=number, params=params)
        failpoints.reached(failpoints.TRIAL_RECORDED)
        return number, params

    def _note(self, number: int, params: Mapping[str, Any]) -> None:
        slot, attempt, folder = self._slot, self._lease.attempt, self._folders.own
        note = note_of_begun(self._submission, slot, params, attempt=attempt, folder=folder)
        self._database.studies.note_trial(slot.study, self._trial_id, number, note)

    def _job(self, params: Mapping[str, Any]) -> TrialJob:
        spec, slot = self._spec, self._slot
        return TrialJob(
            sweep=slot.sweep,
            slot=slot.id,
            attempt=self._lease.attempt,
            trainer=spec.trainer,
            params=as_given(params),
            settings=dict(spec.train),
            epochs=slot.stage_epochs,
            dataset=self._submission.dataset,
            run_folder=self._folders.own,
            earlier=self._epoch_log.earlier,
            model=self._submission.model,
            objective=spec.objective,
            schedule=spec.schedule,
            seed=self._kind.seed(spec, slot),
            device=self._device,
            threads=spec.threads,
            memory_format=spec.memory_format,
            precision=spec.precision,
            image_cache=image_cache_place(
                spec, self._kind.trainings_alike(spec, params, self._stage_settings)
            ),
            evaluate_on=self._kind.judge_on(spec),
        )

    def _follow(self, child: ChildProcess) -> Message:
        """Relay a training's epochs until its final message."""
        hung_after_s, stuck_after_s = self._spec.hung_after_s, self._spec.stuck_after_s
        while True:
            if self._shutdown.at_once:
                return Stopped(Decision.STOP)
            self._keep_up()
            self._database.rest()
            message = child.receive(_POLL_S)
            if isinstance(message, EpochDone):
                try:
                    child.answer(self._decide(message.report))
                except TrainingBroken as error:
                    return Failed(FailureKind.CRASHED, str(error))
            elif isinstance(message, Completed | Stopped | Failed | Unable):
                return message
            elif child.silent_s > hung_after_s:
                return _hung(child, f"no sign of life for {hung_after_s:g} s")
            elif child.unseen_s > stuck_after_s:
                return _hung(child, f"no batch in {stuck_after_s:g} s (`stuck_after_s`)")

    def _keep_up(self) -> None:
        """Look after the lease, and after epochs that an outage kept from the database."""
        self._keeper.check()
        if time.monotonic() < self._next_flush:
            return
        self._next_flush = time.monotonic() + self._queue.renewal_s
        try:
            self._restored(self._epoch_log.flush)
        except DatabaseGone as gone:
            self._retry.note(gone)

    def _decide(self, report: EpochReport) -> Decision:
        """Commit an epoch, then decide on it; what an earlier attempt decided holds."""
        decision = self._restored(lambda: self._epoch_log.enter(report))
        self._next_flush = time.monotonic() + self._queue.renewal_s
        self._log.info(
            "epoch %d/%d  mAP50 %.3f  mAP50-95 %.3f%s",
            *(report.epoch, self._slot.stage_epochs, report.map50, report.map50_95),
            "  pruned" if decision is Decision.PRUNE else "",
        )
        ends = self._shutdown.requested or self._epoch_log.sweep is not SweepState.ACTIVE
        last = report.epoch >= self._slot.stage_epochs
        return Decision.STOP if decision is Decision.CONTINUE and ends and not last else decision

    def _conclude(self, message: Message) -> Settled | None:
        match message:
            case Completed() if message.result.epochs > (known := self._epoch_log.known):
                more = f"result: found {message.result.epochs} epochs; reported were {known}"
                return self._outcome.fail(Failed(FailureKind.CRASHED, more))
            case Completed():
                return self._outcome.complete(message.result)
            case Failed() if message.kind is FailureKind.CRASHED and self._shutdown.requested:
                reason, why = FailureKind.PREEMPTED.value, None  # it was ended together with us
            case Failed():
                return self._outcome.fail(message)
            case Unable():
                self._readiness.set_aside(self._slot.sweep, NotHere(message.message))
                reason, why = NOT_HERE, message.message
            case Stopped(decision=Decision.PRUNE):
                return self._outcome.prune()
            case _:
                paused = self._epoch_log.sweep is SweepState.PAUSED
                reason, why = (SweepState.PAUSED if paused else FailureKind.PREEMPTED).value, None
        return self._outcome.release(reason, why)


def _hung(child: ChildProcess, why: str) -> Failed:
    place = child.tell_place()
    where = f"; it was at {place}" if place else ""
    return Failed(FailureKind.HUNG, f"{why}; killed, and train.log has its stacks{where}")
