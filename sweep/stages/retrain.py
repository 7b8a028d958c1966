"""The retraining: baseline and best setting at full length, judged on the test split."""

from collections.abc import Sequence

from storage.queue.stages import NewSlot
from storage.snapshot.records import StageRecord
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.base import ShownAs, Stage
from sweep.stages.ranking import best_slot

BASELINE = "baseline"
BEST = "best"


class Retrain(Stage):
    """The stage that a sweep file describes under `retrain:`."""

    evaluate_on = "test"
    shown_as = ShownAs.MODELS

    def epochs(self, spec: SweepSpec) -> int | None:
        """Return what the sweep file says; None where it asks for no retraining."""
        return None if spec.retrain is None else spec.retrain.epochs

    def expected_slots(self, spec: SweepSpec) -> int:
        """Return 2: baseline and best."""
        return 2

    def slots(self, spec: SweepSpec, before: Sequence[StageRecord]) -> list[NewSlot]:
        """Return baseline and best; nothing where no trial of the search completed."""
        search = before[0]
        best = best_slot(search.slots, spec.objective)
        if spec.retrain is None or best is None:
            return []
        return [
            NewSlot(label=BASELINE, params=spec.retrain.baseline),
            NewSlot(label=BEST, params=best.params),
        ]

    def summary(self, spec: SweepSpec) -> str:
        """Name both."""
        return "baseline and best"
