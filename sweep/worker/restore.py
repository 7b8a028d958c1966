"""Studies and trials that were deleted from Optuna's tables, made again from ours.

Optuna is a projection of our tables: optuna-dashboard deletes or renames a study at a click, and
nothing of the sweep is lost by it.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from storage.database import Database
from storage.queue.stages import begun_stages
from storage.queue.sweeps import Submission
from storage.queue.trials import Begun, begun, replace_trial
from storage.snapshot.reader import read_epochs
from storage.states import SlotState
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.plan import ensure_study, kind_of

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from storage.optuna.studies import StoredTrial

log = logging.getLogger(__name__)


def restore(database: Database, submission: Submission, spec: SweepSpec) -> None:
    """Make again what Optuna lacks of a sweep; again changes nothing.

    What was settled is left to be told again (`Upkeep.close_all`). The times at which trials began
    are kept, those at which they ended are not.

    Raises:
        StudyNotOurs: If another program has made a study of the name meanwhile.
        DatabaseGone: If the database does not answer.
    """
    for stage_id, stage, study in begun_stages(database.engine, submission.name):
        slots = begun(database.engine, stage_id)
        if database.studies.count(study) >= len(slots) and _all_there(database, study, slots):
            continue
        log.warning("%s: trials are gone from its Optuna study; they are made again", study)
        ensure_study(database, submission, study, spec)
        kept = database.studies.trials(study)
        distributions = kind_of(stage).distributions(spec, [slot.params or {} for slot in slots])
        for slot in slots:
            if _is_of(slot, kept):
                continue
            begun_again = _begun_again(slot, kept)
            trial_id, number = begun_again or _make(database, study, slot, distributions)
            numbers = {trial.number for other, trial in kept.items() if other != trial_id}
            while number in numbers:  # Optuna counts its trials, though one in between is gone
                database.studies.supersede(trial_id, by=slot.trial_number)
                trial_id, number = _make(database, study, slot, distributions)
            if not replace_trial(database.engine, slot, trial_id=trial_id, number=number):
                database.studies.supersede(trial_id, by=slot.trial_number)
            elif slot.state is SlotState.RUNNING:
                for found in read_epochs(database.engine, slot.id):
                    value = float(getattr(found, spec.objective))
                    database.studies.report(trial_id, epoch=found.epoch, value=value)


def _make(
    database: Database,
    study: str,
    slot: Begun,
    distributions: "Mapping[str, BaseDistribution]",
) -> tuple[int, int]:
    return database.studies.make_trial(
        study,
        slot=slot.id,
        params=slot.params or {},
        distributions=distributions,
        began=slot.started_at,
        label=slot.label,
    )


def _is_of(slot: Begun, kept: "Mapping[int, StoredTrial]") -> bool:
    """Whether a slot has its trial; a database may give the id of one that is gone to another."""
    return slot.trial_id in kept and kept[slot.trial_id].slot == slot.id


def _begun_again(slot: Begun, kept: "Mapping[int, StoredTrial]") -> tuple[int, int] | None:
    """Return id and number of a trial that was made again for a slot, but not noted there."""
    found = ((one, trial.number) for one, trial in kept.items() if trial.slot == slot.id)
    return next((one for one in found if kept[one[0]].running), None)


def _all_there(database: Database, study: str, slots: Sequence[Begun]) -> bool:
    kept = database.studies.trials(study)
    return all(_is_of(slot, kept) for slot in slots)
