"""Which of a stage's slots came out best."""

from collections.abc import Iterable

from storage.snapshot.records import SlotRecord
from storage.states import SlotState
from sweep.training.contract import Objective


def best_slot(slots: Iterable[SlotRecord], objective: Objective) -> SlotRecord | None:
    """Return the completed slot with the highest objective, the first of equals.

    None where every one of them scored 0: nothing was learned, so none is better.
    """
    leader = leading_slot(slots, objective)
    return None if leader is None or score(leader, objective) <= 0 else leader


def leading_slot(slots: Iterable[SlotRecord], objective: Objective) -> SlotRecord | None:
    """Return the completed slot that comes first by the objective, even where all scored 0."""
    complete = [slot for slot in slots if slot.state is SlotState.COMPLETE]
    return max(complete, key=lambda slot: score(slot, objective), default=None)


def score(slot: SlotRecord, objective: Objective) -> float:
    """Return a completed slot's objective."""
    if slot.result is None:
        raise ValueError(f"slot {slot.id} has no result")
    return float(slot.result[objective])
