"""A training's epochs on their way into the database, and what is decided on them.

What a training is told is what is stored. CONTINUE may be told before it is stored, while the
database is away: it stands then, whatever a pruner would say later. PRUNE is told when it is stored
for certain: a training that is to end can wait for that.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from storage import failpoints
from storage.database import Database
from storage.errors import DatabaseGone
from storage.queue.leases import Lease
from storage.snapshot.records import EpochRecord
from storage.states import SweepState
from sweep.search.pruners import PRUNERS
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.plan import kind_of
from sweep.training.contract import Decision, EpochReport, TrainingBroken
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
        retry: Told of outages; waits for their end where nothing goes on without the database.
        begin_anew: Drops the earlier attempts' epochs and makes the slot another trial, whose id it
            returns; may be repeated. None where their epochs stay, whatever this attempt's are.
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
        begin_anew: Callable[[], int] | None = None,
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
        self._undecided = [found for found in stored if found.decision is None]
        self._before = {found.epoch: found.report for found in stored}
        """What earlier attempts committed, as JSON."""
        self._run_folder = run_folder
        self.earlier = earlier
        """Run folders of the attempts before that this one may go on from, newest first."""
        self._retry = retry
        self._begin_anew = begin_anew
        self._own: dict[int, EpochReport] = {}
        """What this attempt's training reported so far."""
        self._told: dict[int, Decision] = {}
        """What it was told, or the training that kept an epoch was."""
        self._uncommitted: dict[int, EpochReport] = {}
        self._replaces = lease.anew
        """Whether this attempt's epochs are to take the place of those before."""
        self.sweep = SweepState.ACTIVE
        """Whether the sweep goes on, as of the last epoch."""

    def pruned_before(self) -> bool:
        """Whether earlier attempts' epochs end the trial: decides on the one left undecided.

        Raises:
            LeaseLost: If another worker holds the slot now.
            DatabaseGone: If the database does not answer.
        """
        while self._undecided:
            self._decide(self._undecided[0])
            del self._undecided[0]
        return Decision.PRUNE in self._decided.values()

    def recall(self) -> None:
        """Commit what earlier attempts kept and died before they could.

        Their trainings were told to go on, so this one may go on after those epochs and not report
        them. A late worker may still add to what it kept until its training is killed: once this
        attempt's training has ended, everything that it went on from is there.

        An attempt whose numbers are not those that are stored is not gone on from (`earlier`).

        Raises:
            LeaseLost: If another worker holds the slot now.
            DatabaseGone: If the database does not answer.
        """
        self._recall_kept()
        self.flush()

    def _recall_kept(self) -> None:
        kept = {folder: pending_epochs.kept(folder) for folder in self.earlier}
        self.earlier = tuple(
            folder
            for folder, reports in kept.items()
            if not any(map(self._differs, reports.values()))
        )
        for folder in self.earlier:
            for epoch, report in sorted(kept[folder].items()):
                if epoch not in self._decided:
                    self._told[epoch] = self._decided[epoch] = Decision.CONTINUE
                    self._uncommitted[epoch] = report
                    self._before[epoch] = to_json(report)

    @property
    def known(self) -> int:
        """How many epochs were reported, by this attempt and those that it may go on from."""
        return max((*self._before, *self._own), default=0)

    def enter(self, report: EpochReport) -> Decision:
        """Commit an epoch and decide on it; CONTINUE while the database is away.

        Returns:
            What to tell the training.

        Raises:
            TrainingBroken: If the epoch before it was never reported.
            LeaseLost: If another worker holds the slot now.
            DatabaseGone: If this process must leave at once, and the epoch could be neither
                committed nor kept, or it ends the training.
        """
        epoch = report.epoch
        if epoch > self.known + 1:
            self._recall_kept()
        if epoch > self.known + 1:
            raise TrainingBroken(
                f"epoch: found {epoch} first; reported before were {self.known}, "
                f"allowed is up to {self.known + 1}"
            )
        self._own[epoch] = self._uncommitted[epoch] = report
        # One that goes on from a checkpoint leaves the epochs before as they are.
        if min(self._own) == 1 and self._begin_anew is not None and self._differs(report):
            self._replaces = True
        try:
            self._write()
        except DatabaseGone as gone:
            self._retry.note(gone)
            if not self._keep(report):
                self._retry(self._write)
        else:
            self._retry.note(None)
        self._told[epoch] = self._decided.setdefault(epoch, Decision.CONTINUE)
        return self._told[epoch]

    def _keep(self, report: EpochReport) -> bool:
        """Keep an epoch for later; False where that is not possible, or it ends the training."""
        if self._decided.get(report.epoch) is Decision.PRUNE:
            return False
        try:
            pending_epochs.keep(self._run_folder, report)
        except OSError:
            return False
        return True

    def _differs(self, report: EpochReport) -> bool:
        """Whether earlier attempts came to other numbers: on another device, or in other versions.

        Or because the training leaves something to chance.
        """
        before = self._before.get(report.epoch)
        return before is not None and _numbers(before) != _numbers(to_json(report))

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
        if self._replaces and self._own:
            self._replace()
        while self._uncommitted:
            epoch, report = next(iter(self._uncommitted.items()))
            standing = self._queue.record_epoch(
                self._lease,
                epoch=epoch,
                map50=report.map50,
                map50_95=report.map50_95,
                report=to_json(report),
            )
            failpoints.reached(failpoints.EPOCH_RECORDED)
            self.sweep = standing.sweep
            if standing.decision is None or epoch in self._told:
                self._decide(report)
            else:
                self._decided[epoch] = Decision(standing.decision)
            failpoints.reached(failpoints.DECIDED)
            del self._uncommitted[epoch]

    def _replace(self) -> None:
        """Put this attempt's epochs in the place of those before, as a whole."""
        if self._begin_anew is not None:
            self.trial_id = self._begin_anew()
            self.earlier, self._before = (), {}
            self._decided = {e: told for e, told in self._told.items() if e in self._own}
            self._uncommitted = dict(self._own)
        self._replaces = False

    def _decide(self, on: EpochReport | EpochRecord) -> None:
        value = float(getattr(on, self._spec.objective))
        self._database.studies.report(self.trial_id, epoch=on.epoch, value=value)
        # What was decided before stands, also where it could not be stored, or no answer came.
        decision = self._decided.get(on.epoch) or self._ask_pruner(on.epoch)
        self._decided[on.epoch] = decision
        self._queue.record_decision(self._lease, epoch=on.epoch, decision=decision)

    def _ask_pruner(self, epoch: int) -> Decision:
        slot = self._lease.slot
        name = kind_of(slot.stage).pruner(self._spec)
        if name == "none" or epoch >= slot.stage_epochs:
            return Decision.CONTINUE
        pruner = PRUNERS[name](slot.stage_epochs)
        prune = self._database.studies.should_prune(slot.study, self.trial_id, pruner)
        return Decision.PRUNE if prune else Decision.CONTINUE


def _numbers(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the same training comes to every time; how long it took is left out."""
    return {name: value for name, value in report.items() if name != "seconds"}
