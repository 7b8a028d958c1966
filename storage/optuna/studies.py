"""The Optuna side of a slot: ordinary studies, written through Optuna's Python API only.

Optuna is a projection of our committed rows: a late or repeated projection writes the same.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from storage.optuna import private
from storage.optuna.making import TrialMaker
from storage.optuna.notes import write_note
from storage.outage import telling_outages
from storage.queue.settling import Settled
from storage.states import SlotState

SLOT_ATTRIBUTE = "slot"
"""User attribute of a trial: the id of the slot it was made for."""
LABEL_ATTRIBUTE = "label"
"""User attribute of a trial: what it is for where that matters: `baseline`, `best`."""
NOTED_TRIALS = 1_000
"""So many trials of a study get a note."""

SUPERSEDES = "supersedes"
"""User attribute of a trial of a slot that was queued again: number of the one that failed, which
Optuna keeps as it is."""

_FINAL = {
    SlotState.COMPLETE: TrialState.COMPLETE,
    SlotState.PRUNED: TrialState.PRUNED,
    SlotState.FAILED: TrialState.FAIL,
    SlotState.CANCELLED: TrialState.FAIL,
}

P = ParamSpec("P")
Found = TypeVar("Found")
Suggest = Callable[[optuna.Trial], Mapping[str, Any]]
"""Asks a trial's sampler for every searched setting."""


def _telling(method: Callable[P, Found]) -> Callable[P, Found]:
    """Let a method raise `DatabaseGone` where the database does not answer."""

    @wraps(method)
    def telling(*args: P.args, **kwargs: P.kwargs) -> Found:
        with telling_outages():
            return method(*args, **kwargs)

    return telling


class Studies:
    """Opens studies and keeps their trials in step with the slots."""

    def __init__(self, storage: optuna.storages.RDBStorage) -> None:
        self._storage = storage
        self._studies: dict[str, optuna.Study] = {}
        self._ids: dict[str, int] = {}
        self._maker = TrialMaker(storage)

    @_telling
    def ensure(
        self, name: str, *, metric: str, attributes: Mapping[str, Any], note: str = ""
    ) -> None:
        """Make a maximising study unless it is there.

        Args:
            name: Of the study.
            metric: Its objective's name.
            attributes: User attributes that it gets unless it has them.
            note: What optuna-dashboard shows of it from the beginning.
        """
        if name in self._studies:
            return
        try:
            study = optuna.create_study(
                storage=self._storage, study_name=name, direction="maximize"
            )
            made = True
        except DuplicatedStudyError:
            study = optuna.load_study(storage=self._storage, study_name=name)
            made = False
        if study.metric_names != [metric]:
            study.set_metric_names([metric])
        for key in attributes.keys() - study.user_attrs.keys():
            study.set_user_attr(key, attributes[key])
        self._studies[name] = study
        if made and note:
            write_note(self._storage, self._id(name), None, note)

    @_telling
    def note(self, name: str, text: str) -> None:
        """Put a note on a study, in Markdown, unless a user wrote one."""
        with suppress(KeyError):  # deleted meanwhile
            write_note(self._storage, self._id(name), None, text)

    @_telling
    def note_trial(self, name: str, trial_id: int, number: int, text: str) -> None:
        """Put a note on a trial, in Markdown, unless a user wrote one.

        On the first trials of a study only: notes are kept with the study, so that each one costs
        more than the one before.
        """
        if number < NOTED_TRIALS:
            with suppress(KeyError):  # deleted meanwhile
                write_note(self._storage, self._id(name), trial_id, text)

    @_telling
    def start_trial(
        self,
        name: str,
        *,
        slot: int,
        known: int | None,
        begun_before: bool,
        params: Mapping[str, Any] | None,
        distributions: Mapping[str, BaseDistribution],
        suggest: Suggest,
        sampler: BaseSampler,
        label: str | None = None,
    ) -> tuple[int, int, Mapping[str, Any]]:
        """Find or make the running trial of a slot.

        Args:
            name: The study.
            slot: Id of the slot; the trial carries it as a user attribute from its first moment.
            known: Id of the slot's trial, where one was noted.
            begun_before: Whether a trial may have been made for the slot without being noted; it is
                looked for among the running ones.
            params: The settings where they are drawn, else None: `suggest` asks the sampler.
            distributions: Of the settings in `params`.
            suggest: Asks for every setting.
            sampler: The sampler to ask.
            label: What the trial is for where that matters; a user attribute of it.

        Returns:
            Trial id, trial number, settings.
        """
        study = self._study(name)
        trial_id = self._find(name, slot) if known is None and begun_before else known
        if trial_id is None:
            attributes: dict[str, Any] = {SLOT_ATTRIBUTE: slot}
            attributes |= {LABEL_ATTRIBUTE: label} if label else {}
            if begun_before and (failed := self._last_failed(name, slot)) is not None:
                attributes[SUPERSEDES] = failed
            made = self._maker.make(
                self._id(name),
                params=params or {},
                distributions=distributions,
                attributes=attributes,
            )
            trial_id, number = private.id_of(made), made.number
        else:
            number = self._storage.get_trial_number_from_id(trial_id)
        if params is None:
            study.sampler = sampler
            params = suggest(private.open_trial(study, trial_id))
        return trial_id, number, params

    @_telling
    def report(self, trial_id: int, *, epoch: int, value: float) -> None:
        """Note the objective after an epoch, as an intermediate value; again changes nothing."""
        with suppress(UpdateFinishedTrialError):
            self._storage.set_trial_intermediate_value(trial_id, epoch, value)

    @_telling
    def should_prune(self, name: str, trial_id: int, pruner: BasePruner) -> bool:
        """Ask the pruner about a trial's latest reported epoch."""
        study = self._study(name)
        study.pruner = pruner
        return private.open_trial(study, trial_id).should_prune()

    @_telling
    def project(self, settled: Settled, *, objective: str, values: Mapping[int, float]) -> None:
        """Tell Optuna how a slot ended; telling it again changes nothing.

        Args:
            settled: The slot.
            objective: Name of the objective among the result's metrics.
            values: The objective after each committed epoch, by epoch; those that Optuna does not
                have yet are added.
        """
        slot = settled.slot
        if slot.trial_id is None or slot.trial_number is None:
            return  # settled before a trial was made: nothing that Optuna knows of
        trial = self._storage.get_trial(slot.trial_id)
        if trial.state.is_finished():
            return
        for epoch in values.keys() - trial.intermediate_values.keys():
            self.report(slot.trial_id, epoch=epoch, value=values[epoch])
        value = None if settled.result is None else settled.result[objective]
        # Two workers may find the same slot untold; the slower one meets a finished trial.
        with suppress(UpdateFinishedTrialError):
            for key, attribute in _attributes(settled).items():
                self._storage.set_trial_user_attr(slot.trial_id, key, attribute)
            self._study(slot.study).tell(
                slot.trial_number, value, state=_FINAL[settled.state], skip_if_finished=True
            )

    @_telling
    def bury_strays(self, name: str, numbers: Mapping[int, int]) -> None:
        """Fail the trials still running in a study whose slots are all closed.

        Args:
            name: The study.
            numbers: The trial number of each slot, by slot id.
        """
        study = self._study(name)
        for trial in self._running(name):
            slot = trial.user_attrs.get(SLOT_ATTRIBUTE)
            if isinstance(slot, int) and slot in numbers:  # others are a notebook's own
                with suppress(UpdateFinishedTrialError):  # another worker was faster
                    self._storage.set_trial_user_attr(
                        private.id_of(trial), "superseded_by", numbers[slot]
                    )
                    study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def _running(self, name: str) -> list[FrozenTrial]:
        return self._storage.get_all_trials(
            self._id(name), deepcopy=False, states=(TrialState.RUNNING,)
        )

    def _id(self, name: str) -> int:
        if name not in self._ids:
            self._ids[name] = self._storage.get_study_id_from_name(name)
        return self._ids[name]

    def _study(self, name: str) -> optuna.Study:
        if name not in self._studies:
            self._studies[name] = optuna.load_study(storage=self._storage, study_name=name)
        return self._studies[name]

    def _last_failed(self, name: str, slot: int) -> int | None:
        failed = self._storage.get_all_trials(
            self._id(name), deepcopy=False, states=(TrialState.FAIL,)
        )
        numbers = [t.number for t in failed if t.user_attrs.get(SLOT_ATTRIBUTE) == slot]
        return max(numbers, default=None)

    def _find(self, name: str, slot: int) -> int | None:
        found = (t for t in self._running(name) if t.user_attrs.get(SLOT_ATTRIBUTE) == slot)
        return next((private.id_of(trial) for trial in found), None)


def _attributes(settled: Settled) -> dict[str, Any]:
    attributes: dict[str, Any] = {"attempts": settled.attempt, "worker": settled.worker}
    if settled.failure_kind is not None:
        attributes |= {"failure": settled.failure_kind, "message": settled.message}
    if settled.result is not None:
        names = ("map50", "map50_95", "precision", "recall", "best_epoch", "epochs", "seconds")
        attributes |= {name: settled.result[name] for name in names}
        attributes |= {
            f"effective_{name}": value for name, value in settled.result["effective"].items()
        }
    return attributes
