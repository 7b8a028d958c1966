"""Which training's model a sweep recommends."""

from collections.abc import Sequence
from dataclasses import dataclass

from storage.snapshot.records import SlotRecord, StageRecord
from sweep.stages.plan import kind_of
from sweep.stages.ranking import best_slot
from sweep.stages.retrain import BEST, Retrain
from sweep.training.contract import Objective


@dataclass(frozen=True, kw_only=True)
class BestTraining:
    """The training whose model a sweep recommends."""

    stage: StageRecord
    slot: SlotRecord


def best_training(stages: Sequence[StageRecord], objective: Objective) -> BestTraining | None:
    """Return the best setting's latest retraining, else the best trial of the search.

    None where nothing has completed, or all that did scored 0.
    """
    retrained = [stage for stage in stages if isinstance(kind_of(stage.name), Retrain)]
    searched = [stage for stage in stages if kind_of(stage.name).searches]
    for stage in (*reversed(retrained), *searched):
        slots = [slot for slot in stage.slots if stage in searched or slot.label == BEST]
        found = best_slot(slots, objective)
        if found is not None:
            return BestTraining(stage=stage, slot=found)
    return None
