"""Making the trial of a slot in its study.

Trials are numbered in the order of their slots, whoever comes first: before the trial of a slot,
those of the slots before it are made. So a sweep has the same numbers however many workers it has,
and whichever of them dies. All are running from the first, as their slots have been claimed; one
that waits, any notebook's `ask()` would take.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import Engine

from storage.engine import writing
from storage.optuna import private
from storage.queue.slots import Slot
from storage.queue.trials import Lacking, give_trial, trial_of, without_trial

SLOT_ATTRIBUTE = "slot"
"""User attribute of a trial: the id of the slot it was made for."""
LABEL_ATTRIBUTE = "label"
"""User attribute of a trial: what it is for where that matters: `baseline`, `best`."""


class TrialMaker:
    """Makes trials.

    Optuna takes one kind of distribution for a name in a study. A study that was begun with
    another kind than is given here (listed numbers used to be categories) keeps its own.
    """

    def __init__(self, storage: RDBStorage) -> None:
        self._storage = storage
        self._kept: dict[int, dict[str, BaseDistribution]] = {}

    def make(
        self,
        study_id: int,
        *,
        params: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
        attributes: Mapping[str, Any],
        began: datetime | None = None,
    ) -> FrozenTrial:
        """Store a running trial; return it with its number and id.

        Args:
            study_id: Its study.
            params: Its settings.
            distributions: Of these settings.
            attributes: User attributes that it has from its first moment.
            began: When; None for now.
        """

        def make() -> FrozenTrial:
            template = self._template(study_id, params, distributions, attributes, began)
            return private.create_trial(self._storage, study_id, template)

        try:
            return make()
        except ValueError:
            if not self._keeps(study_id):
                raise
            return make()

    def make_up_to(
        self,
        engine: Engine,
        study_id: int,
        slot: Slot,
        distributions: Mapping[str, BaseDistribution],
    ) -> tuple[int, int] | None:
        """Make a running trial for each slot of a stage up to this one that has had none.

        In one transaction, which notes them in their slots. What cannot be made is left out.

        Args:
            engine: That of our tables, in the same database.
            study_id: The stage's study.
            slot: The last slot.
            distributions: Of the stage's settings.

        Returns:
            Id and number of this slot's trial; None where it has none now.

        Raises:
            KeyError: If the study is gone.
        """
        left_out: set[int] = set()
        while True:
            of = slot.id
            try:
                with writing(engine) as connection:
                    for lacking in without_trial(connection, slot):
                        if (of := lacking.id) not in left_out:
                            template = self._template_of(study_id, lacking, distributions)
                            made = private.add_trial(self._storage, connection, study_id, template)
                            give_trial(connection, of, *made)
                    return trial_of(connection, slot.id)
            except (TypeError, ValueError):  # whoever comes to train it is told
                if not self._keeps(study_id):
                    left_out.add(of)

    def _template_of(
        self, study_id: int, of: Lacking, distributions: Mapping[str, BaseDistribution]
    ) -> FrozenTrial:
        params = of.params or {}
        if unknown := params.keys() - distributions.keys():
            raise ValueError(f"slot {of.id}: no distribution of {sorted(unknown)}")
        attributes: dict[str, Any] = {SLOT_ATTRIBUTE: of.id}
        if of.label is not None:
            attributes[LABEL_ATTRIBUTE] = of.label
        return self._template(study_id, params, distributions, attributes)

    def _template(
        self,
        study_id: int,
        params: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
        attributes: Mapping[str, Any],
        began: datetime | None = None,
    ) -> FrozenTrial:
        legal = {**distributions, **self._kept.get(study_id, {})}
        template = create_trial(
            state=TrialState.RUNNING,
            params=dict(params),
            distributions={name: legal[name] for name in params},
            user_attrs=dict(attributes),
        )
        # Optuna's times are naive.
        template.datetime_start = (began or datetime.now(UTC)).astimezone().replace(tzinfo=None)
        return template

    def _keeps(self, study_id: int) -> bool:
        """Learn what kinds of distributions a study has; False if they were known before."""
        if study_id in self._kept:
            return False
        trials = self._storage.get_all_trials(study_id, deepcopy=False)
        self._kept[study_id] = {
            name: kept for trial in trials for name, kept in trial.distributions.items()
        }
        return True
