"""What a kind of stage says of itself; nothing else tells the kinds apart."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from storage.queue.slots import Slot
from storage.queue.stages import NewSlot
from storage.snapshot.records import StageRecord
from sweep.search.ordered import ordered
from sweep.spec.sweep_file import PrunerName, SweepSpec
from sweep.training.image_cache.augmentation import AUGMENTATION

if TYPE_CHECKING:  # Optuna takes half a second to import; who only looks does without it
    from optuna.distributions import BaseDistribution

Settings = Mapping[str, Any]


class ShownAs(Enum):
    """How the report shows a stage: the first search, and the retraining that it recommends."""

    TRIALS = auto()  # many settings tried for a short time: heatmaps, curves, importance
    MODELS = auto()  # baseline and best in full: their curves, and their scores on a split


class Stage(ABC):
    """A kind of stage; `sweep.stages.plan.STAGES` names it.

    Where a kind says nothing else, it waits for the stages before it and trains settings that it
    takes from them, every training to its last epoch.
    """

    opens_at_submit = False
    """Whether its slots are planned at submit, else when the stages before it are done."""
    searches = False
    """Whether its settings lie in the searched space; else they are fixed when it opens."""
    prunes_diverged = False
    """Whether a training that diverged is pruned; else it failed."""
    shown_as: ShownAs | None = None
    """None for the report's table of trials only."""

    @abstractmethod
    def epochs(self, spec: SweepSpec) -> int | None:
        """Return the epochs of a full training; None where the sweep has no such stage."""

    @abstractmethod
    def expected_slots(self, spec: SweepSpec) -> int:
        """Return how many slots it will have, as far as is known before it opens."""

    @abstractmethod
    def slots(self, spec: SweepSpec, before: Sequence[StageRecord]) -> list[NewSlot]:
        """Plan its slots; none where the stages before it gave it nothing to do.

        Args:
            spec: The sweep.
            before: The stages before it, all done; empty at submit.
        """

    def summary(self, spec: SweepSpec) -> str:
        """Return in a few words what it trains."""
        return f"{self.expected_slots(spec)} trials"

    def question(self, spec: SweepSpec) -> str:
        """Return what its study is to answer."""
        return f"how do {self.summary(spec)} do?"

    def pruner(self, spec: SweepSpec) -> PrunerName:
        """Return the pruner that is asked after each epoch but the last."""
        return "none"

    def judge_on(self, spec: SweepSpec) -> str | None:
        """Return the split to judge each training's best checkpoint on (`test`), or None."""
        return None

    def seed(self, spec: SweepSpec, slot: Slot) -> int:
        """Return the seed of a slot's training."""
        return spec.seed

    def distributions(
        self, spec: SweepSpec, settings: Sequence[Settings]
    ) -> "dict[str, BaseDistribution]":
        """Return Optuna's form of its settings.

        Args:
            spec: The sweep.
            settings: Of each of its slots; not read, so empty, where it `searches`.
        """
        from optuna.distributions import CategoricalDistribution

        values = {
            name: [params[name] for params in settings if name in params]
            for name in sorted({name for params in settings for name in params})
        }
        return {
            name: ordered(found) or CategoricalDistribution(list(dict.fromkeys(found)))
            for name, found in values.items()
        }

    def trainings_alike(
        self, spec: SweepSpec, params: Settings, settings: Sequence[Settings]
    ) -> int:
        """Return how many of its trainings see the same images as one of them.

        Args:
            spec: The sweep.
            params: That training's settings beside those under `train:`.
            settings: Of each of its slots; not read, so empty, where it `searches`.
        """
        return sum(_augmentation(others) == _augmentation(params) for others in settings)


def _augmentation(params: Settings) -> Settings:
    return {name: params[name] for name in AUGMENTATION if name in params}
