"""Making the trial of a slot in its study."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from storage.optuna import private


class TrialMaker:
    """Makes running trials.

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
        try:
            return self._make(study_id, params, distributions, attributes, began=began)
        except ValueError:
            if study_id in self._kept:
                raise
            trials = self._storage.get_all_trials(study_id, deepcopy=False)
            self._kept[study_id] = {
                name: kept for trial in trials for name, kept in trial.distributions.items()
            }
            return self._make(study_id, params, distributions, attributes, began=began)

    def _make(
        self,
        study_id: int,
        params: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
        attributes: Mapping[str, Any],
        *,
        began: datetime | None,
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
        return private.create_trial(self._storage, study_id, template)
