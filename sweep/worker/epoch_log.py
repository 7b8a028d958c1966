"""A training's epochs on their way into the database, and what is decided on them."""

from pathlib import Path

from storage import failpoints
from storage.database import Database
from storage.errors import DatabaseGone
from storage.queue.leases import Lease
from storage.snapshot.records import EpochRecord
from storage.states import SweepState
from sweep.search.pruners import PRUNERS
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.plan import kind_of
from sweep.training.contract import Decision, EpochReport
from sweep.worker import pending_epochs
from sweep.worker.retry import Retry
from sweep.worker.serialization import to_json


class EpochLog:
    """Commits the epochs of one attempt; while the database is away it keeps them.

    Args:
        database: Where the slot is.
        spec: The slot's sweep.
        lease: The right to the slot.
        trial_id: The slot's Optuna trial.
        stored: Epochs that earlier attempts committed; what was decided on them holds.
        run_folder: Where this attempt keeps epochs that the database cannot take.
        earlier: Where earlier attempts kept theirs.
        retry: Told of outages; waits for their end where an epoch can be kept nowhere.
    """

    def __init__(
        self,
        database: Database,
        spec: SweepSpec,
        lease: Lease,
        *,
        trial_id: int,
        stored: list[EpochRecord],
        run_folder: Path,
        earlier: tuple[Path, ...],
        retry: Retry,
    ) -> None:
        self._database = database
        self._queue = database.queue
        self._spec = spec
        self._lease = lease
        self.trial_id = trial_id
        """The slot's Optuna trial."""
        self._decided: dict[int, Decision] = {
            found.epoch: Decision(found.decision) for found in stored if found.decision is not None
        }
        self._stored = stored
        self._run_folder = run_folder
        self._earlier = earlier
        self._retry = retry
        self._uncommitted: list[EpochReport] = []
        self.sweep = SweepState.ACTIVE
        """Whether the sweep goes on, as of the last epoch."""

    def pruned_before(self) -> bool:
        """Whether earlier attempts' epochs end the trial: decides on the one left undecided.

        Raises:
            LeaseLost: If another worker holds the slot now.
            DatabaseGone: If the database does not answer.
        """
        for found in self._stored:
            if found.epoch not in self._decided:
                self._decide(found)
        return Decision.PRUNE in self._decided.values()

    def recall(self) -> None:
        """Commit what earlier attempts kept and died before they could.

        Their trainings were told to go on, so this one may go on after those epochs and not report
        them. A late worker may still add to what it kept until its training is killed: once this
        attempt's training has ended, everything that it went on from is there.

        Raises:
            LeaseLost: If another worker holds the slot now.
            DatabaseGone: If the database does not answer.
        """
        for epoch, report in sorted(pending_epochs.kept(self._earlier).items()):
            if epoch not in self._decided:
                self._decided[epoch] = Decision.CONTINUE
                self._uncommitted.append(report)
        self.flush()

    def enter(self, report: EpochReport) -> Decision:
        """Commit an epoch and decide on it; CONTINUE while the database is away.

        Raises:
            LeaseLost: If another worker holds the slot now.
            DatabaseGone: If the epoch could neither be committed nor kept, and this process must
                leave at once.
        """
        self._uncommitted.append(report)
        try:
            self._write()
        except DatabaseGone as gone:
            self._retry.note(gone)
            try:
                pending_epochs.keep(self._run_folder, report)
            except OSError:
                self._retry(self._write)
            else:
                return self._decided.setdefault(report.epoch, Decision.CONTINUE)
        self._retry.note(None)
        return self._decided[report.epoch]

    def flush(self) -> None:
        """Commit what could not be committed before.

        Raises:
            LeaseLost: If another worker holds the slot now.
            DatabaseGone: If the database still does not answer.
        """
        if self._uncommitted:
            self._write()
            self._retry.note(None)

    def _write(self) -> None:
        while self._uncommitted:
            report = self._uncommitted[0]
            standing = self._queue.record_epoch(
                self._lease,
                epoch=report.epoch,
                map50=report.map50,
                map50_95=report.map50_95,
                report=to_json(report),
            )
            failpoints.reached(failpoints.EPOCH_RECORDED)
            self.sweep = standing.sweep
            if standing.decision is not None:
                self._decided[report.epoch] = Decision(standing.decision)
            else:
                self._decide(report)
            failpoints.reached(failpoints.DECIDED)
            del self._uncommitted[0]

    def _decide(self, on: EpochReport | EpochRecord) -> None:
        value = float(getattr(on, self._spec.objective))
        self._database.studies.report(self.trial_id, epoch=on.epoch, value=value)
        # What a training was told during an outage stands.
        decision = self._decided.get(on.epoch) or self._ask_pruner(on.epoch)
        self._queue.record_decision(self._lease, epoch=on.epoch, decision=decision)
        self._decided[on.epoch] = decision

    def _ask_pruner(self, epoch: int) -> Decision:
        slot = self._lease.slot
        name = kind_of(slot.stage).pruner(self._spec)
        if name == "none" or epoch >= slot.stage_epochs:
            return Decision.CONTINUE
        pruner = PRUNERS[name](slot.stage_epochs)
        prune = self._database.studies.should_prune(slot.study, self.trial_id, pruner)
        return Decision.PRUNE if prune else Decision.CONTINUE
