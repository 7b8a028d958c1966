"""The one door through which a training's reports and results come, in both of its directions.

The training process calls it on what its trainer gave, so that the trainer's own call fails with
what is wrong. The supervisor calls it again on what the pipe brought, for it trusts no process that
runs other people's code. What came through holds plain values, which any database takes.
"""

import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.training.contract import (
    ClassMetrics,
    EpochReport,
    FailureKind,
    TrainingBroken,
    TrainingFailed,
    TrialJob,
    TrialResult,
)
from sweep.training.process import plain

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RAISED = (FailureKind.OOM, FailureKind.DATA, FailureKind.CRASHED, FailureKind.DIVERGED)
"""The kinds of failure that a trainer can tell; the others are the supervisor's to find."""
_MEASURES = ("map50", "map50_95", "precision", "recall")


class Door:
    """Lets the reports and the result of one training through, in their order.

    Args:
        job: What is trained.
    """

    def __init__(self, job: TrialJob) -> None:
        self._job = job
        self._last: int | None = None

    def report(self, found: Any) -> EpochReport:
        """Return an epoch's report in plain values: an `EpochReport`, or its fields by name.

        Raises:
            TrainingBroken: If it is none, or not the next epoch's.
            TrainingFailed: DIVERGED, if a measure is not finite.
        """
        given = _given(found, EpochReport, "epoch")
        epoch = self._next(given["epoch"])
        where = f"epoch {epoch}: "
        report = EpochReport(
            epoch=epoch,
            losses=plain.mapping(given["losses"], f"{where}losses", plain.number),
            lr=plain.mapping(given["lr"], f"{where}lr", plain.number),
            seconds=_seconds(given["seconds"], f"{where}seconds"),
            **{name: _measure(given[name], f"{where}{name}") for name in _MEASURES},
        )
        self._last = epoch
        return report

    def result(self, found: Any) -> TrialResult:
        """Return a training's result in plain values: a `TrialResult`, or its fields by name.

        Raises:
            TrainingBroken: If it is none, or not of the epochs that were reported.
            TrainingFailed: DIVERGED, if a measure is not finite.
        """
        given = _given(found, TrialResult, "result")
        epochs = plain.whole(given["epochs"], "result: epochs", **self._ended())
        measures = (*_MEASURES, "last_map50", "last_map50_95")
        return TrialResult(
            best_epoch=plain.whole(
                given["best_epoch"], "result: best_epoch", low=min(epochs, 1), high=epochs
            ),
            epochs=epochs,
            seconds=_seconds(given["seconds"], "result: seconds"),
            images_shared=plain.whole(given["images_shared"], "result: images_shared"),
            images_loaded=plain.whole(given["images_loaded"], "result: images_loaded"),
            per_class=_per_class(given["per_class"]),
            effective=plain.mapping(given["effective"], "result: effective", plain.json_value),
            environment=plain.mapping(given["environment"], "result: environment", _line),
            checkpoint=_path(given["checkpoint"], "result: checkpoint"),
            evaluation=_path(given["evaluation"], "result: evaluation"),
            **{name: _measure(given[name], f"result: {name}") for name in measures},
        )

    def _next(self, value: Any) -> int:
        """Return an epoch's number; the first one may be later where an attempt went before."""
        last = self._job.epochs
        if self._last is None:
            return plain.whole(value, "epoch", low=1, high=last if self._job.earlier else 1)
        if self._last == last:
            raise TrainingBroken(f"epoch: found {plain.shown(value)} after the last, {last}")
        return plain.whole(value, "epoch", low=self._last + 1, high=self._last + 1)

    def _ended(self) -> dict[str, int]:
        """Return how many epochs a result may be of: those reported, here or by an attempt before.

        Fewer than the job's are allowed: a trainer may see that more would bring nothing.
        """
        if self._last is not None:
            return {"low": self._last, "high": self._last}
        if not self._job.earlier:
            raise TrainingBroken("result: returned without a report of an epoch (`on_epoch`)")
        return {"low": 1, "high": self._job.epochs}


def _given(found: Any, kind: "type[DataclassInstance]", where: str) -> Mapping[str, Any]:
    """Return the fields of an instance of `kind`, or of a mapping that has them all."""
    names = [field.name for field in fields(kind)]
    if isinstance(found, kind):
        try:
            return {name: getattr(found, name) for name in names}
        except Exception as error:  # made without its constructor
            raise TrainingBroken(f"{where}: {plain.shown(found)} is incomplete") from error
    if isinstance(found, dict) and set(found) == set(names):
        return found
    raise TrainingBroken(f"{where}: found {plain.shown(found)}; allowed is {kind.__name__}")


def _measure(value: Any, where: str) -> float:
    found = plain.number(value, where)
    if not math.isfinite(found):
        raise TrainingFailed(FailureKind.DIVERGED, f"{where} is {found}, not finite: diverged")
    return found


def _seconds(value: Any, where: str) -> float:
    """Return a duration; 0 where a clock that was set makes it negative or no number."""
    found = plain.number(value, where)
    return found if math.isfinite(found) and found > 0 else 0.0


def _line(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise TrainingBroken(f"{where}: found {plain.shown(value)}; allowed is text")
    return plain.text(value)


def _path(value: Any, where: str) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str | Path) or not str(value):
        raise TrainingBroken(f"{where}: found {plain.shown(value)}; allowed is a path or None")
    if plain.text(str(value), plain.LONGEST_PATH) != str(value):
        raise TrainingBroken(f"{where}: found {plain.shown(str(value))}, which no database takes")
    return Path(value)


def _per_class(value: Any) -> tuple[ClassMetrics, ...]:
    """Return the scores by class; a class that has none may have NaN."""
    if not isinstance(value, list | tuple):
        raise TrainingBroken(f"result: per_class: found {plain.shown(value)}; allowed is a tuple")
    found = []
    for place, one in enumerate(value):
        where = f"result: per_class[{place}]"
        given = _given(one, ClassMetrics, where)
        scores = {key: plain.number(given[key], f"{where}.{key}") for key in ("ap50", "ap")}
        found.append(ClassMetrics(name=plain.name(given["name"], where), **scores))
    return tuple(found)
