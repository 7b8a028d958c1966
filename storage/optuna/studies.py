"""The Optuna side of a slot: ordinary studies, written through Optuna's Python API only.

Optuna is a projection of our committed rows: a late or repeated projection writes the same.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Engine

from storage.contents import fault_of_result
from storage.errors import StudyNotOurs, TrialGone
from storage.optuna import private
from storage.optuna.making import LABEL_ATTRIBUTE, SLOT_ATTRIBUTE, TrialMaker
from storage.optuna.notes import write_note
from storage.outage import telling_outages
from storage.queue.settling import Settled
from storage.queue.slots import Slot
from storage.states import SlotState

NOTED_TRIALS = 1_000
"""So many trials of a study get a note."""

_DELETED_AT_ONCE = 500
"""So many trials are deleted in one transaction; others can write in between."""

OWNER = "sweep"
"""User attribute of a study: the sweep that it is a study of."""
BEGUN_IN = "begun_in_attempt"
"""User attribute of a trial that was not made in its slot's first attempt."""
SUPERSEDES = "supersedes"
"""User attribute of a trial of a slot that began anew: number of the one before, which Optuna keeps
as it is."""

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


def _telling(
    method: "Callable[Concatenate[Studies, P], Found]",
) -> "Callable[Concatenate[Studies, P], Found]":
    """Let a method raise `DatabaseGone` where the database does not answer.

    And `TrialGone` where what it wants to write to was deleted, which Optuna tells as a KeyError.
    """

    @wraps(method)
    def telling(studies: "Studies", /, *args: P.args, **kwargs: P.kwargs) -> Found:
        try:
            with telling_outages():
                return method(studies, *args, **kwargs)
        except KeyError as error:
            studies.forget()
            raise TrialGone(f"Optuna has it no more: {error}") from error

    return telling


@dataclass(frozen=True, kw_only=True)
class StoredTrial:
    """A trial as Optuna has it."""

    number: int
    slot: Any
    """Id of the slot it was made for; None where it was made by another program."""
    running: bool


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

        Raises:
            StudyNotOurs: If there is one that minimises, or has trials and not our attributes.
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
            _refuse_foreign(study, owner=attributes.get(OWNER))
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
    def exists(self, name: str) -> bool:
        """Whether there is a study of this name, whoever made it."""
        try:
            self._storage.get_study_id_from_name(name)
        except KeyError:
            return False
        return True

    @_telling
    def count(self, name: str) -> int:
        """Count a study's trials; 0 where there is no such study."""
        try:
            study_id = self._storage.get_study_id_from_name(name)
        except KeyError:
            self.forget()
            return 0
        return private.count_trials(self._storage, study_id)

    @_telling
    def owned_by(self, sweep: str) -> dict[str, int]:
        """Return the studies that were made for a sweep, and how many trials each has."""
        return {
            name: self.count(name)
            for name, owner in private.attribute_of_studies(self._storage, OWNER).items()
            if name.startswith(f"{sweep}/") and owner == sweep
        }

    @_telling
    def remove(self, name: str) -> None:
        """Delete a study with its trials; again changes nothing."""
        self.forget()  # a database may have given the id that is known to another one
        with suppress(KeyError):
            while private.delete_trials(self._storage, self._id(name), most=_DELETED_AT_ONCE):
                pass
            private.delete_study(self._storage, self._id(name))
        self.forget()

    @_telling
    def trials(self, name: str) -> dict[int, StoredTrial]:
        """Return the trials of a study, by their ids."""
        return {
            private.id_of(trial): StoredTrial(
                number=trial.number,
                slot=trial.user_attrs.get(SLOT_ATTRIBUTE),
                running=trial.state is TrialState.RUNNING,
            )
            for trial in self._storage.get_all_trials(self._id(name), deepcopy=False)
        }

    @_telling
    def make_trial(
        self,
        name: str,
        *,
        slot: int,
        params: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
        began: datetime | None = None,
        label: str | None = None,
        attempt: int = 1,
        supersedes: int | None = None,
    ) -> tuple[int, int]:
        """Make a running trial for an attempt at a slot; return its id and number."""
        others = {
            LABEL_ATTRIBUTE: label,
            BEGUN_IN: attempt if attempt > 1 else None,
            SUPERSEDES: supersedes,
        }
        made = self._maker.make(
            self._id(name),
            params=params,
            distributions=distributions,
            attributes={SLOT_ATTRIBUTE: slot}
            | {name: value for name, value in others.items() if value is not None},
            began=began,
        )
        return private.id_of(made), made.number

    @_telling
    def make_up_to(
        self, engine: Engine, slot: Slot, *, distributions: Mapping[str, BaseDistribution]
    ) -> tuple[int, int] | None:
        """Make the trials of a stage's slots up to this one; again changes nothing.

        See `storage.optuna.making.TrialMaker.make_up_to`.
        """
        return self._maker.make_up_to(engine, self._id(slot.study), slot, distributions)

    def forget(self) -> None:
        """Look studies up by their names again: one of them was deleted."""
        self._studies.clear()
        self._ids.clear()
        self._maker = TrialMaker(self._storage)

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
        pruner: BasePruner | None = None,
        label: str | None = None,
        attempt: int = 1,
        since: int = 0,
    ) -> tuple[int, int, Mapping[str, Any]]:
        """Find or make the running trial of a slot.

        Args:
            name: The study.
            slot: Id of the slot; the trial carries it as a user attribute from its first moment.
            known: Id of the slot's trial, where one was noted.
            begun_before: Whether a trial may have been made for the slot without being noted; it is
                looked for among the running ones, and the others of the slot are failed.
            params: The settings where they are drawn, else None: `suggest` asks the sampler.
            distributions: Of the settings in `params`.
            suggest: Asks for every setting.
            sampler: The sampler to ask.
            pruner: The pruner of the study, by which some samplers tell the trials to look at.
            label: What the trial is for where that matters; a user attribute of it.
            attempt: The attempt at the slot.
            since: Trials of attempts up to this one are not gone on with.

        Returns:
            Trial id, trial number, settings.
        """
        study = self._study(name)
        earlier = self._running_of(name, slot) if known is None and begun_before else []
        found = (trial for trial in earlier if trial.user_attrs.get(BEGUN_IN, 1) > since)
        trial_id = next(map(private.id_of, found), known)
        if trial_id is None:
            trial_id, number = self.make_trial(
                name,
                slot=slot,
                params=params or {},
                distributions=distributions,
                label=label,
                attempt=attempt,
                supersedes=self._last_ended(name, slot, earlier) if begun_before else None,
            )
        else:
            if self._storage.get_trial_user_attrs(trial_id).get(SLOT_ATTRIBUTE) != slot:
                raise KeyError(trial_id)  # its id was given to another
            number = self._storage.get_trial_number_from_id(trial_id)
        for trial in earlier:
            if trial.number != number:
                self.supersede(private.id_of(trial), by=number)
        if params is None:
            study.sampler = sampler
            private.use_pruner(study, pruner or NopPruner())
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
        private.use_pruner(study, pruner)
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
        if trial.user_attrs.get(SLOT_ATTRIBUTE) != slot.id:  # its id was given to another
            raise KeyError(slot.trial_id)
        if trial.state.is_finished():
            return
        for epoch in values.keys() - trial.intermediate_values.keys():
            self.report(slot.trial_id, epoch=epoch, value=values[epoch])
        state, value = _FINAL[settled.state], None
        fault = fault_of_result(settled.result) if state is TrialState.COMPLETE else None
        if fault is not None:  # somebody else wrote into it; the stage must come to its end
            state = TrialState.FAIL
            settled = replace(settled, failure_kind="unreadable", message=fault, result=None)
        elif settled.result is not None:
            value = settled.result[objective]
        if settled.state is SlotState.PRUNED:  # as Optuna's own `tell` values it
            known = {**trial.intermediate_values, **values}
            last = known[max(known)] if known else None
            value = last if last is not None and math.isfinite(last) else None
        # Two workers may find the same slot untold; the slower one meets a finished trial.
        with suppress(UpdateFinishedTrialError):
            for key, attribute in _attributes(settled).items():
                self._storage.set_trial_user_attr(slot.trial_id, key, attribute)
            # Not `Study.tell`, whose cache may hold a study of this id that was deleted.
            self._storage.set_trial_state_values(
                slot.trial_id, state, None if value is None else [value]
            )

    @_telling
    def bury_strays(self, name: str, numbers: Mapping[int, int | None]) -> None:
        """Fail the trials still running in a study whose slots are all closed.

        Args:
            name: The study.
            numbers: The trial number of each slot, by slot id; None where it ended without one.
        """
        try:
            running = self._running(name)
        except KeyError:  # none was ever made, or it was deleted
            self.forget()
            return
        for trial in running:
            slot = trial.user_attrs.get(SLOT_ATTRIBUTE)
            if isinstance(slot, int) and slot in numbers:  # others are a notebook's own
                self.supersede(private.id_of(trial), by=numbers[slot])

    @_telling
    def supersede(self, trial_id: int, *, by: int | None) -> None:
        """Fail a running trial in whose place its slot has another, of this number, or none."""
        with suppress(UpdateFinishedTrialError):  # another worker was faster
            self._storage.set_trial_user_attr(trial_id, "superseded_by", by)
            self._storage.set_trial_state_values(trial_id, state=TrialState.FAIL)

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

    def _last_ended(self, name: str, slot: int, ending: Sequence[FrozenTrial]) -> int | None:
        """Return the number of a slot's last trial that failed, or is about to."""
        failed = self._storage.get_all_trials(
            self._id(name), deepcopy=False, states=(TrialState.FAIL,)
        )
        numbers = [t.number for t in failed if t.user_attrs.get(SLOT_ATTRIBUTE) == slot]
        return max([*numbers, *(trial.number for trial in ending)], default=None)

    def _running_of(self, name: str, slot: int) -> list[FrozenTrial]:
        return [t for t in self._running(name) if t.user_attrs.get(SLOT_ATTRIBUTE) == slot]


def _refuse_foreign(study: optuna.Study, *, owner: Any) -> None:
    # Trials first: another worker that is making the study marks it as ours before it has any.
    has_trials = bool(study.get_trials(deepcopy=False))
    if study.directions != [optuna.study.StudyDirection.MAXIMIZE]:
        why = "it does not maximize one value"
    elif has_trials and study.user_attrs.get(OWNER) != owner:
        why = "its trials are another program's"
    else:
        return
    raise StudyNotOurs(
        f"the study {study.study_name!r} in this database is not the sweep's ({why}); "
        "rename it, or give the sweep another `name`"
    )


def _attributes(settled: Settled) -> dict[str, Any]:
    attributes: dict[str, Any] = {"attempts": settled.attempt, "worker": settled.worker}
    if settled.failure_kind is not None:
        attributes |= {"failure": settled.failure_kind, "message": settled.message}
    if settled.result is not None:
        names = ("map50", "map50_95", "precision", "recall", "best_epoch", "epochs", "seconds")
        found, effective = settled.result, settled.result.get("effective", {})
        attributes |= {name: found[name] for name in names if name in found}
        attributes |= {f"effective_{name}": value for name, value in effective.items()}
    return attributes
