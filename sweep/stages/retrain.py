"""The retraining: the best setting, beside a baseline, at full length, judged on a split."""

from collections.abc import Sequence

from storage.queue.stages import NewSlot
from storage.snapshot.records import StageRecord
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.base import ShownAs, Stage
from sweep.stages.ranking import leading_slot

BASELINE = "baseline"
BEST = "best"
DEFAULT_EPOCHS = 100
"""Of a retraining by hand whose sweep file asks for none; as Ultralytics' default."""


class Retrain(Stage):
    """The stage that a sweep file describes under `retrain:`."""

    shown_as = ShownAs.MODELS

    def epochs(self, spec: SweepSpec) -> int | None:
        """Return what the sweep file says; None where it asks for no retraining."""
        return None if spec.retrain is None else spec.retrain.epochs

    def expected_slots(self, spec: SweepSpec) -> int:
        """Return 2, baseline and best; 1 where the sweep file names no baseline."""
        return 1 if spec.retrain is None else 2

    def slots(self, spec: SweepSpec, before: Sequence[StageRecord]) -> list[NewSlot]:
        """Return baseline and best; nothing where no trial of the search completed.

        Where all of them scored 0 the first one is taken for the best: a longer training may learn.
        """
        best = leading_slot(before[0].slots, spec.objective)
        if best is None:
            return []
        baseline = [] if spec.retrain is None else [spec.retrain.stored_baseline]
        return [
            *(NewSlot(label=BASELINE, params=params) for params in baseline),
            NewSlot(label=BEST, params=best.params),
        ]

    def judge_on(self, spec: SweepSpec) -> str | None:
        """Return the split that the sweep file names; the test split where it names none."""
        return "test" if spec.retrain is None else spec.retrain.judge_on

    def question(self, spec: SweepSpec) -> str:
        """Ask for the best setting's worth."""
        beside = "" if spec.retrain is None else ", beside the baseline"
        return f"how good is the best setting of the search at full length{beside}?"

    def summary(self, spec: SweepSpec) -> str:
        """Name what is trained, and the split that it is judged on."""
        trained = "best" if spec.retrain is None else "baseline and best"
        return f"{trained}, judged on {self.judge_on(spec)}"
