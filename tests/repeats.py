"""A kind of stage that no sweep has: the best setting of the search again, with other seeds."""

from collections.abc import Sequence

from storage.queue.slots import Slot
from storage.queue.stages import NewSlot
from storage.snapshot.records import StageRecord
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.base import Settings, Stage
from sweep.stages.ranking import best_slot

SEEDS = 3


class Repeats(Stage):
    def epochs(self, spec: SweepSpec) -> int:
        return spec.search.epochs

    def expected_slots(self, spec: SweepSpec) -> int:
        return SEEDS

    def slots(self, spec: SweepSpec, before: Sequence[StageRecord]) -> list[NewSlot]:
        best = best_slot(before[0].slots, spec.objective)
        if best is None:
            return []
        return [NewSlot(label=f"repeat {n}", params=best.params) for n in range(1, SEEDS + 1)]

    def seed(self, spec: SweepSpec, slot: Slot) -> int:
        return spec.seed + 1 + slot.ordinal

    def trainings_alike(
        self, spec: SweepSpec, params: Settings, settings: Sequence[Settings]
    ) -> int:
        return 1  # images go with the seed
