"""One trial as a report shows it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storage.snapshot.records import EpochRecord, SlotRecord
from storage.states import SlotState
from sweep.pages.table import NOTHING
from sweep.training.contract import Objective


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A score of a trial on the validation split."""

    key: Objective
    title: str
    suffix: str
    """How the published tables name it: `SGD_50.csv`."""


MAP50 = Metric(key="map50", title="mAP50", suffix="50")
MAP50_95 = Metric(key="map50_95", title="mAP50-95", suffix="50-95")
METRICS = (MAP50, MAP50_95)
TITLES = {metric.key: metric.title for metric in METRICS}
SCORES = ("map50", "map50_95", "precision", "recall", "best_epoch", "last_map50", "last_map50_95")
"""What a `TrialResult` says of the best and the last epoch."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A slot of a stage, started or not."""

    stage: str
    slot: SlotRecord

    @property
    def name(self) -> str:
        """The number of its trial in the study, a dash before it was started."""
        return NOTHING if self.slot.trial_number is None else str(self.slot.trial_number)

    @property
    def state(self) -> SlotState:
        """Where it stands."""
        return self.slot.state

    @property
    def params(self) -> Mapping[str, Any]:
        """The searched settings; empty until a sampler chose them."""
        return self.slot.params or {}

    @property
    def result(self) -> Mapping[str, Any]:
        """The `TrialResult` as JSON; empty unless complete."""
        return self.slot.result or {}

    @property
    def epochs(self) -> tuple[EpochRecord, ...]:
        """The committed epochs, in order."""
        return self.slot.epochs

    @property
    def reason(self) -> str:
        """Why it failed or was pruned; empty otherwise."""
        return ": ".join(part for part in (self.slot.failure_kind, self.slot.message) if part)

    @property
    def seconds(self) -> float:
        """Wall time of all its committed epochs, validation included."""
        if (seconds := self.result.get("seconds")) is not None:
            return float(seconds)
        return sum(float(epoch.report.get("seconds") or 0.0) for epoch in self.epochs)

    def score(self, metric: Metric) -> float | None:
        """Return the best epoch's score in [0, 1].

        None unless the trial is complete and its score finite: a failure is no zero.
        """
        found = self.result.get(metric.key)
        return float(found) if found is not None and math.isfinite(found) else None

    def score_text(self, metric: Metric) -> str:
        """Return the score as it is shown everywhere: three decimals, a dash for none."""
        found = self.score(metric)
        return NOTHING if found is None else f"{found:.3f}"


def setting(value: Any) -> str:
    """Return a setting's value as a reader writes it: 0.0001, 1e-05, AdamW."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings(values: Mapping[str, Any]) -> str:
    """Return settings on one line, beta1 by its name: `AdamW, lr0 0.005, beta1 0.5`."""
    parts = []
    for name, value in values.items():
        if name == "optimizer":
            parts.append(str(value))
        else:
            shown = momentum_name(values.get("optimizer")) if name == "momentum" else name
            parts.append(f"{shown} {setting(value)}")
    return ", ".join(parts)


def axis_name(name: str, optimizer: Any) -> str:
    """Return a setting's name on an axis."""
    if name == "momentum":
        return momentum_name(optimizer)
    return {"lr0": "learning rate (lr0)"}.get(name, name)


def momentum_name(optimizer: Any) -> str:
    """Return what Ultralytics uses `momentum` as: `beta1` with the Adam family."""
    adam = ("Adam", "Adamax", "AdamW", "NAdam", "RAdam")
    return "beta1" if optimizer in adam else "momentum"
