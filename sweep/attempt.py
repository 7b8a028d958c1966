"""One attempt at one slot: from its lease to its final state."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from storage import faults
from storage.database import Database
from storage.errors import DatabaseGone
from storage.records import SweepState
from storage.slots import Lease, Settled
from storage.stages import settings_of
from storage.sweeps import Submission
from sweep import layout, search, stages
from sweep.ending import Ending
from sweep.journal import Journal
from sweep.patience import Patience
from sweep.sharing import stream_place
from sweep.space import suggest
from sweep.spec import SweepSpec
from sweep.status import settings
from sweep.stop import Stop
from sweep.training.child_process import ChildProcess
from sweep.training.job import Decision, Device, EpochReport, FailureKind, TrialJob
from sweep.training.messages import Completed, EpochDone, Failed, Message, Stopped

_POLL_S = 0.5


class Attempt:
    """One attempt at one slot.

    Args:
        database: Where the slot is.
        submission: The slot's sweep as stored.
        spec: The slot's sweep, parsed.
        lease: The right to the slot.
        device: The share of a device to train on.
        stop: Whether this process was told to leave.
        patience: Repeats calls while the database is away.
        say: Told in one line what happens.
    """

    def __init__(
        self,
        database: Database,
        submission: Submission,
        spec: SweepSpec,
        lease: Lease,
        *,
        device: Device,
        stop: Stop,
        patience: Patience,
        say: Callable[[str], None],
    ) -> None:
        self._database = database
        self._queue = database.queue
        self._submission = submission
        self._spec = spec
        self._lease = lease
        self._slot = lease.slot
        self._device = device
        self._stop = stop
        self._patiently = patience
        self._say = say
        self._name = f"{self._slot.study} slot {self._slot.ordinal}"
        self._next_renewal = time.monotonic() + self._queue.renewal_s
        self._fixed: Sequence[Mapping[str, Any]] = ()
        self._trial_begun = lease.attempt > 1  # a call that an outage broke may have made it too
        self._end = Ending(
            self._queue, submission, spec, lease, patience=patience, say=self._say_named
        )

    @property
    def disk_full(self) -> bool:
        """Whether the attempt ended because nothing can be written to the run folder."""
        return self._end.disk_full

    def run(self) -> Settled | None:
        """Train the slot's trial to its end; None if the slot was given back.

        Raises:
            LeaseLost: If another worker holds the slot now; the training was dropped.
            DatabaseGone: If the database was away when this process had to leave at once.
        """
        if self._patiently(lambda: self._queue.sweep_state(self._lease)) is SweepState.CANCELLED:
            return self._end.cancel()
        if self._lease.lost > self._spec.retries.lost:
            return self._end.fail(
                Failed(FailureKind.LOST, f"{self._lease.lost} workers vanished while at it")
            )
        number, params = self._patiently(self._start_trial)
        self._name = f"{self._slot.study} trial {number}"
        self._patiently(self._journal.recall)
        if self._patiently(self._journal.pruned_before):
            return self._end.prune()
        self._say_named(settings(params))
        child = ChildProcess.start(self._job(params))
        try:
            message = self._follow(child)
        finally:
            child.kill()
        self._patiently(self._journal.recall)
        return self._conclude(message)

    def _start_trial(self) -> tuple[int, Mapping[str, Any]]:
        slot, spec = self._slot, self._spec
        begun_before, self._trial_begun = self._trial_begun, True
        stages.ensure_study(self._database, self._submission, slot.study, spec)
        self._fixed = (
            [] if slot.stage == stages.SEARCH else settings_of(self._database.engine, slot.stage_id)
        )
        trial_id, number, params = self._database.studies.start_trial(
            slot.study,
            slot=slot.id,
            known=slot.trial_id,
            begun_before=begun_before,
            params=slot.params,
            distributions=stages.distributions_of(spec, slot.stage, self._fixed),
            suggest=lambda trial: suggest(trial, spec.search.space),
            sampler=search.sampler_for(spec.search, slot.ordinal),
        )
        faults.reached(faults.TRIAL_MADE)
        self._queue.record_trial(self._lease, trial_id=trial_id, number=number, params=params)
        faults.reached(faults.TRIAL_RECORDED)
        folders = (self._submission.runs, slot.sweep, slot.id, self._lease.attempt)
        self._journal = Journal(
            self._database,
            spec,
            self._lease,
            trial_id=trial_id,
            stored=self._queue.stored_epochs(slot.id) if self._lease.attempt > 1 else [],
            run_folder=layout.run_folder(*folders),
            earlier=layout.earlier_run_folders(*folders),
            patience=self._patiently,
        )
        return number, params

    def _job(self, params: Mapping[str, Any]) -> TrialJob:
        spec, slot = self._spec, self._slot
        return TrialJob(
            sweep=slot.sweep,
            slot=slot.id,
            attempt=self._lease.attempt,
            trainer=spec.trainer,
            params=dict(params),
            settings=dict(spec.train),
            epochs=slot.stage_epochs,
            dataset=self._submission.dataset,
            run_folder=layout.run_folder(
                self._submission.runs, slot.sweep, slot.id, self._lease.attempt
            ),
            earlier=layout.earlier_run_folders(
                self._submission.runs, slot.sweep, slot.id, self._lease.attempt
            ),
            model=self._submission.model,
            objective=spec.objective,
            schedule=spec.schedule,
            seed=spec.seed,
            device=self._device,
            threads=spec.threads,
            memory_format=spec.memory_format,
            precision=spec.precision,
            stream=stream_place(spec, slot.stage, params, self._fixed),
            evaluate_on=None if slot.stage == stages.SEARCH else "test",
        )

    def _say_named(self, what: str) -> None:
        self._say(f"{self._name}: {what}")

    def _follow(self, child: ChildProcess) -> Message:
        """Relay a training's epochs until its final message."""
        hung_after_s = self._spec.hung_after_s
        while True:
            if self._stop.at_once:
                return Stopped(Decision.STOP)
            self._keep_lease()
            self._database.rest()
            message = child.receive(_POLL_S)
            if isinstance(message, EpochDone):
                if not _finite(message.report):
                    text = f"epoch {message.report.epoch}: a metric is not finite"
                    return Failed(FailureKind.DIVERGED, text)
                child.answer(self._decide(message.report))
            elif isinstance(message, Completed | Stopped | Failed):
                return message
            elif time.monotonic() - child.last_sign_of_life > hung_after_s:
                return Failed(FailureKind.HUNG, f"no sign of life for {hung_after_s:g} s; killed")

    def _keep_lease(self) -> None:
        if time.monotonic() < self._next_renewal:
            return
        self._next_renewal = time.monotonic() + self._queue.renewal_s
        try:
            self._queue.renew(self._lease)
            self._journal.flush()
        except DatabaseGone as gone:
            self._patiently.note(gone)

    def _decide(self, report: EpochReport) -> Decision:
        """Commit an epoch, then decide on it; what an earlier attempt decided holds."""
        decision = self._journal.enter(report)
        self._next_renewal = time.monotonic() + self._queue.renewal_s
        self._say_named(
            f"epoch {report.epoch}/{self._slot.stage_epochs}"
            f"  mAP50 {report.map50:.3f}  mAP50-95 {report.map50_95:.3f}"
            + ("  pruned" if decision is Decision.PRUNE else "")
        )
        ends = self._stop.requested or self._journal.sweep is not SweepState.ACTIVE
        last = report.epoch >= self._slot.stage_epochs
        return Decision.STOP if decision is Decision.CONTINUE and ends and not last else decision

    def _conclude(self, message: Message) -> Settled | None:
        if isinstance(message, Completed):
            return self._end.complete(message.result)
        if isinstance(message, Failed):
            if message.kind is FailureKind.CRASHED and self._stop.requested:
                self._end.release(FailureKind.PREEMPTED)  # it was ended together with us
                return None
            return self._end.fail(message)
        if isinstance(message, Stopped) and message.decision is Decision.PRUNE:
            return self._end.prune()
        if self._journal.sweep is SweepState.CANCELLED:
            return self._end.cancel()
        paused = self._journal.sweep is SweepState.PAUSED
        self._end.release(SweepState.PAUSED if paused else FailureKind.PREEMPTED)
        return None


def _finite(report: EpochReport) -> bool:
    return all(map(math.isfinite, (report.map50, report.map50_95, report.precision, report.recall)))
