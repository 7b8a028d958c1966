"""The sweep file: everything a sweep is asked to do. The only reader of its YAML."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    Strict,
    ValidationError,
    field_validator,
    model_validator,
)

from sweep.errors import InputError, nearest
from sweep.files.validation import explain
from sweep.files.wording import shown
from sweep.files.yaml import read_yaml
from sweep.spec.space import Parameter
from sweep.spec.train_settings import validate_setting
from sweep.spec.value import SettingValue, as_scalar
from sweep.training.contract import (
    FailureKind,
    MemoryFormat,
    Objective,
    Precision,
    Scalar,
    Schedule,
    Value,
)
from sweep.training.registry import BUILT_IN

SamplerName = Literal["grid", "random", "tpe"]
PrunerName = Literal["none", "median", "successive_halving", "hyperband"]

MAX_TRIALS = 100_000
MAX_EPOCHS = 1_000_000
MAX_SEED = 2**32 - 1
"""What NumPy takes."""

Whole = Annotated[int, Strict()]
Number = Annotated[FiniteFloat, Strict()]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Search(_Section):
    """The search stage: which settings to try, how many times, for how long."""

    epochs: Whole = Field(ge=1, le=MAX_EPOCHS)
    """Epochs of one trial."""
    sampler: SamplerName = "grid"
    trials: Whole | None = Field(default=None, ge=1, le=MAX_TRIALS)
    """Budget in trials; a grid has its own."""
    pruner: PrunerName = "none"
    seed: Whole = Field(default=0, ge=0, le=MAX_SEED)
    """Of the sampler."""
    space: dict[str, Parameter]

    @field_validator("space")
    @classmethod
    def _conditions_name_earlier_parameters(
        cls, space: dict[str, Parameter]
    ) -> dict[str, Parameter]:
        if not space:
            raise ValueError("is empty; name at least one setting to search, e.g. lr0: [0.01, 0.1]")
        before: dict[str, Parameter] = {}
        for name, parameter in space.items():
            for condition, values in (parameter.when or {}).items():
                if condition not in before:
                    raise ValueError(
                        f"{name}.when names '{condition}', which is not searched before it; "
                        f"{nearest(condition, before) if before else 'put it first'}"
                    )
                choices = before[condition].choices
                if choices is not None and not any(value in choices for value in values):
                    found = ", ".join(map(shown, values)) or "no value"
                    raise ValueError(
                        f"{name}.when.{condition}: found {found}, which it never has; "
                        f"allowed: {', '.join(map(shown, choices))}"
                    )
            before[name] = parameter
        return space

    @model_validator(mode="after")
    def _budget(self) -> Search:
        if self.sampler != "grid":
            if self.trials is None:
                raise ValueError(f"sampler {self.sampler} needs `trials`, the number to run")
            return self
        if self.trials is not None:
            raise ValueError("a grid has as many trials as points; leave `trials` out")
        points = 1
        for name, parameter in self.space.items():
            count = parameter.grid_size()
            if count is None:
                raise ValueError(
                    f"space.{name} has endlessly many values; for a grid give choices or a step, "
                    "or take another sampler"
                )
            points *= count
        if points > MAX_TRIALS:
            raise ValueError(
                f"space: a grid of {points} points; at most {MAX_TRIALS} are tried: give fewer "
                "values or longer steps, or take another sampler with `trials`"
            )
        return self


JudgeSplit = Literal["test", "val"]


class Retrain(_Section):
    """The retrain stage: the baseline and the best setting at full length."""

    epochs: Whole = Field(ge=1, le=MAX_EPOCHS)
    baseline: dict[str, SettingValue]
    """Settings of the training to compare with; they win over those under `train`."""
    judge_on: JudgeSplit = "test"
    """Split that both models are judged on; `val` where there is no test split."""

    @property
    def stored_baseline(self) -> dict[str, Scalar]:
        """The baseline's settings as a slot holds them."""
        return {name: as_scalar(value) for name, value in self.baseline.items()}


class Retries(_Section):
    """How many attempts at a trial may fail in one way before the trial fails."""

    crashed: Whole = Field(default=0, ge=0)
    """The training raised an error, its process died, or it hung."""
    oom: Whole = Field(default=0, ge=0)
    """Out of memory."""
    data: Whole = Field(default=0, ge=0)
    """The dataset could not be read."""
    diverged: Whole = Field(default=0, ge=0)
    """Not finite in a retraining; in a search that prunes the trial."""
    lost: Whole = Field(default=10, ge=0)
    """The worker vanished. A trial that takes its worker down each time must not do so for ever."""

    def of(self, kind: FailureKind) -> tuple[int, tuple[FailureKind, ...]]:
        """Return the retries of a kind, and the kinds that share them."""
        if kind in (FailureKind.CRASHED, FailureKind.HUNG):
            return self.crashed, (FailureKind.CRASHED, FailureKind.HUNG)
        if kind in (FailureKind.OOM, FailureKind.DATA, FailureKind.DIVERGED):
            return int(getattr(self, kind)), (kind,)
        return 0, (kind,)


class SweepSpec(_Section):
    """A whole sweep file, as documented in docs/sweep-file.md."""

    name: str
    """Of the sweep; names its studies and folders."""
    dataset: str | None = None
    """Dataset file, relative to the sweep file; a custom trainer may go without."""
    schedule: Schedule = "ultralytics"
    model: str = "yolov8n.pt"
    """Weights to start from, or a model without weights, such as `yolov8n.yaml`."""
    trainer: str = "ultralytics"
    train: dict[str, SettingValue] = {}
    """Training settings that are the same in every trial."""
    search: Search
    objective: Objective = "map50_95"
    retrain: Retrain | None = None
    seed: Whole = Field(default=0, ge=0, le=MAX_SEED)
    """Of every training."""
    threads: Whole = Field(default=1, ge=1, le=1024)
    """CPU threads of one training."""
    memory_format: MemoryFormat = "channels_last"
    precision: Precision = "auto"
    stream_gb: Number = Field(default=20.0, ge=0)
    """Disk, in 10^9 bytes, for the augmented images that a host's trainings share; 0 for none."""
    hung_after_s: Number = Field(default=600.0, gt=0)
    """A training without a sign of life for so long is killed; one batch may take minutes."""
    stuck_after_s: Number = Field(default=7200.0, gt=0)
    """So is one that lives, but shows no batch: it loads its data, or is judged."""
    retries: Retries = Retries()

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"found {name!r}; write up to 80 letters, digits, dots, hyphens and underscores, "
                "the first a letter or a digit"
            )
        return name

    @model_validator(mode="after")
    def _settings_are_legal(self) -> SweepSpec:
        both = sorted(set(self.train) & set(self.search.space))
        if both:
            raise ValueError(f"'{both[0]}' stands under train and in search.space; keep one")
        if self.trainer in BUILT_IN:
            for field, name, value in self.all_settings():
                try:
                    validate_setting(name, value)
                except ValueError as error:
                    raise ValueError(f"{field}: {error}") from error
            self._optimizer_is_chosen()
            if self.dataset is None:
                raise ValueError("dataset: missing; name a dataset file")
        return self

    def all_settings(self) -> Iterator[tuple[str, str, Value]]:
        """Yield the field, the setting and a value for every value that a training may get.

        Of a range these are its ends and the value next to its lower end.
        """
        for name, value in self.train.items():
            yield f"train.{name}", name, value
        for name, parameter in self.search.space.items():
            for value in parameter.examples():
                yield f"search.space.{name}", name, value
        if self.retrain is not None:
            for name, value in self.retrain.baseline.items():
                yield f"retrain.baseline.{name}", name, value

    def _optimizer_is_chosen(self) -> None:
        why = (
            "must name the optimizer, because Ultralytics' default, auto, ignores lr0 and momentum"
        )
        searched = self.search.space.get("optimizer")
        if searched is not None and searched.when:
            raise ValueError(
                "search.space.optimizer.when: a trial without it has no optimizer; leave it out"
            )
        if "optimizer" not in self.train and searched is None:
            raise ValueError(f"train.optimizer or search.space.optimizer: {why}")
        baseline = {} if self.retrain is None else {**self.train, **self.retrain.baseline}
        if self.retrain is not None and "optimizer" not in baseline:
            raise ValueError(f"retrain.baseline.optimizer: {why}")

    @classmethod
    def load(cls, path: Path) -> SweepSpec:
        """Read a sweep file.

        Raises:
            InputError: If it cannot be read or is wrong; one line for the user.
        """
        found = read_yaml(path, cls)
        if str(found.get("trainer", cls.model_fields["trainer"].default)) not in BUILT_IN:
            # What its settings may be is not known: not whether `on` is a word or true.
            found = read_yaml(path, cls, refuse_unclear=True)
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            raise InputError(explain(error, cls, path)) from error

    @property
    def image_size_px(self) -> int | None:
        """The largest `imgsz` of its trainings; None if it names none."""
        sizes = [value for _, name, value in self.all_settings() if name == "imgsz"]
        return max((size for size in sizes if type(size) is int), default=None)

    def dataset_file(self, sweep_file: Path) -> Path | None:
        """Return the dataset file that it names, from the folder of the sweep file it is from."""
        return None if self.dataset is None else sweep_file.parent / self.dataset

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values from which `model_validate` makes an equal spec."""
        return self.model_dump(mode="json", exclude_none=True)

    def hash(self) -> str:
        """Return a hexadecimal hash over everything the file says."""
        canonical = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """List what differs between two specs as JSON: `search.epochs: 4 -> 5`."""
    lines: list[str] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {_shown(before)} -> {_shown(after)}")
    return lines


def _shown(value: Any) -> str:
    return "(left out)" if value is None else json.dumps(value)
