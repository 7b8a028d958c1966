"""What a sweep's stages are and which slots each one holds."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.database import Database
from storage.queue.stages import NewSlot, NewStage
from storage.queue.sweeps import Submission
from storage.snapshot.records import SlotRecord, StageRecord
from storage.states import SlotState
from sweep.paths import study_name
from sweep.training.contract import Objective

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from sweep.spec.sweep_file import SweepSpec

SEARCH = "search"
RETRAIN = "retrain"
BASELINE = "baseline"
BEST = "best"


def planned_stages(spec: "SweepSpec") -> list[NewStage]:
    """Return the stages of a new sweep; those after the search wait for it without slots."""
    from sweep.search.samplers import planned_points

    search = NewStage(
        name=SEARCH,
        study=study_name(spec.name, SEARCH),
        epochs=spec.search.epochs,
        slots=[NewSlot(params=point) for point in planned_points(spec.search)],
    )
    if spec.retrain is None:
        return [search]
    return [search, retrain_stage(spec, RETRAIN, spec.retrain.epochs)]


def retrain_stage(spec: "SweepSpec", name: str, epochs: int) -> NewStage:
    """Return a retrain stage that waits for its slots."""
    return NewStage(name=name, study=study_name(spec.name, name), epochs=epochs)


def retrain_slots(spec: "SweepSpec", search: StageRecord) -> list[NewSlot]:
    """Return baseline and best setting; nothing where no trial of the search completed."""
    best = best_slot(search.slots, spec.objective)
    if spec.retrain is None or best is None:
        return []
    return [
        NewSlot(label=BASELINE, params=spec.retrain.baseline),
        NewSlot(label=BEST, params=best.params),
    ]


def best_slot(slots: Iterable[SlotRecord], objective: Objective) -> SlotRecord | None:
    """Return the completed slot with the highest objective, the first of equals."""
    complete = [slot for slot in slots if slot.state is SlotState.COMPLETE]
    return max(complete, key=lambda slot: score(slot, objective), default=None)


def score(slot: SlotRecord, objective: Objective) -> float:
    """Return a completed slot's objective."""
    if slot.result is None:
        raise ValueError(f"slot {slot.id} has no result")
    return float(slot.result[objective])


def distributions_of(
    spec: "SweepSpec", stage: str, slots: Sequence[Mapping[str, Any]]
) -> "dict[str, BaseDistribution]":
    """Return Optuna's form of a stage's settings.

    Args:
        spec: The sweep.
        stage: Name of the stage. The search has the space of the sweep file; elsewhere the
            settings are fixed, and each one's choices are the values that the stage's slots have.
        slots: The settings of the stage's slots.
    """
    from sweep.spec.space import distributions

    if stage == SEARCH:
        return distributions(spec.search.space)
    from optuna.distributions import CategoricalDistribution

    names = sorted({name for params in slots for name in params})
    return {
        name: CategoricalDistribution(
            list(dict.fromkeys(params[name] for params in slots if name in params))
        )
        for name in names
    }


def ensure_study(database: Database, submission: Submission, study: str, spec: "SweepSpec") -> None:
    """Make a stage's Optuna study unless it is there; it tells what it is a study of."""
    database.studies.ensure(
        study,
        metric=spec.objective,
        attributes={
            "sweep": spec.name,
            "spec": spec.to_json(),
            "dataset": None if submission.dataset is None else submission.dataset.name,
            "fingerprint": submission.fingerprint,
        },
    )


def dataset_file(spec: "SweepSpec", sweep_file: Path) -> Path | None:
    """Return the dataset file a sweep file names, from the sweep file's folder."""
    return None if spec.dataset is None else sweep_file.parent / spec.dataset
