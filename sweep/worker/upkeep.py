"""What keeps a sweep going between its trainings; any worker finishes what another left."""

from contextlib import suppress

from storage import failpoints
from storage.database import Database
from storage.errors import DatabaseGone, RowUnreadable, TrialGone
from storage.queue.leases import Lease
from storage.queue.settling import Settled
from storage.queue.stages import all_closed, finish_stages, open_stage, open_stages, trial_numbers
from storage.queue.trials import is_settled
from storage.snapshot.reader import read_epochs, read_sweep
from storage.states import StageState
from sweep.stages.notes import how_it_ended, study_note
from sweep.stages.plan import kind_of
from sweep.worker.best_files import write_best
from sweep.worker.leftovers import Leftovers
from sweep.worker.notes import note_of_settled
from sweep.worker.readiness import Readiness
from sweep.worker.restore import restore
from sweep.worker.run_folders import run_folders


class Upkeep:
    """The steps after a training; each may be repeated, by this worker or by another.

    Args:
        database: Where the sweeps are.
        readiness: Reads them.
    """

    def __init__(self, database: Database, readiness: Readiness) -> None:
        self._database = database
        self._readiness = readiness
        self.tidy = Leftovers(database).tidy

    def restore(self, name: str) -> None:
        """Make again what Optuna lacks of a sweep, because it was deleted there."""
        restore(self._database, *self._readiness.read(name))

    def close_all(self, name: str) -> None:
        """Close the settled slots of a sweep whose workers died before they could."""
        try:
            self._close_all(name)
        except TrialGone:
            self.restore(name)
            self._close_all(name)

    def close(self, settled: Settled) -> None:
        """Tell Optuna how a slot ended, and remove what nobody goes on from any more."""
        try:
            self._close(settled)
        except TrialGone:
            self.restore(settled.slot.sweep)
            self._close_all(settled.slot.sweep)

    def _close_all(self, name: str) -> None:
        """Close each slot that can be closed; then raise what one of the others raised."""
        wrong: list[str] = []
        faults: list[Exception] = []
        for settled in self._database.queue.unprojected(names=[name], unreadable=wrong):
            try:
                self._close(settled)
            except (DatabaseGone, TrialGone):
                raise
            except Exception as error:  # what is wrong with one slot holds no other
                faults.append(error)
        faults += [RowUnreadable(line, row=None) for line in wrong]
        if faults:
            raise faults[0]

    def _close(self, settled: Settled) -> None:
        slot = settled.slot
        submission, spec = self._readiness.read(slot.sweep)
        stored = read_epochs(self._database.engine, slot.id)
        self._database.studies.project(
            settled,
            objective=spec.objective,
            values={found.epoch: float(getattr(found, spec.objective)) for found in stored},
        )
        if slot.trial_id is not None and slot.trial_number is not None:
            note = note_of_settled(submission, settled)
            self._database.studies.note_trial(slot.study, slot.trial_id, slot.trial_number, note)
        failpoints.reached(failpoints.TOLD)
        # Before the slot is closed, so that what a kill leaves is removed by who closes it.
        with suppress(OSError):  # what cannot be removed now is in nobody's way
            folders = run_folders(submission.runs, slot, slot.trial_number)
            folders.remove_checkpoints(attempts=settled.attempt)
        self._database.queue.close(settled)
        failpoints.reached(failpoints.CLOSED)

    def advance(self, name: str) -> None:
        """Finish the stages of a sweep that are done and open those whose turn has come."""
        engine = self._database.engine
        for stage_id, study in open_stages(engine, name):
            if all_closed(engine, stage_id):
                self._bury_strays(stage_id, study)
                self._hand_over(name, stage_id)
        while (waiting := finish_stages(engine, name)) is not None:
            _, spec = self._readiness.read(name)
            found = read_sweep(engine, name).stages
            before = [stage for stage in found if stage.state is StageState.DONE]
            open_stage(engine, waiting.id, kind_of(waiting.name).slots(spec, before))

    def _hand_over(self, name: str, stage_id: int) -> None:
        """Tell what a stage came to; before the sweep is done, for nobody looks after it then."""
        write_best(self._database.engine, name)
        submission, spec = self._readiness.read(name)
        stages = read_sweep(self._database.engine, name).stages
        over = next(stage for stage in stages if stage.id == stage_id)
        state = how_it_ended(spec, over)
        kind = kind_of(over.name)
        note = study_note(spec, submission.runs, over.name, kind, state=state)
        self._database.studies.note(over.study, note)

    def drop(self, lease: Lease) -> None:
        """Clean up after an attempt of this worker's that others had followed, once it has ended.

        It may have made a trial and written a checkpoint after those had cleaned up.
        """
        engine, slot = self._database.engine, lease.slot
        if all_closed(engine, slot.stage_id):
            self._bury_strays(slot.stage_id, slot.study)
        if is_settled(engine, slot.id):
            submission, _ = self._readiness.read(slot.sweep)
            with suppress(OSError):
                folders = run_folders(submission.runs, slot, slot.trial_number)
                folders.remove_checkpoints(attempts=lease.attempt + 1)

    def _bury_strays(self, stage_id: int, study: str) -> None:
        numbers = trial_numbers(self._database.engine, stage_id)
        self._database.studies.bury_strays(study, numbers)
