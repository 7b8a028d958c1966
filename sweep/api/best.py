"""What a sweep recommends: its best model, and how to go on with it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.snapshot.records import SweepRecord
from sweep import paths
from sweep.report.hints import Hint, hints
from sweep.spec.space import settings_line
from sweep.spec.value import as_given
from sweep.stages.best import BestTraining, best_training
from sweep.stages.ranking import score
from sweep.training.contract import Objective
from sweep.training.registry import BUILT_IN
from sweep.worker.best_files import are_written, best_settings


@dataclass(frozen=True, kw_only=True)
class BestModel:
    """The training whose model a sweep recommends, and its files."""

    stage: str
    trial: int
    """Number of the trial in the stage's study."""
    label: str | None
    params: Mapping[str, Any]
    """The searched settings."""
    objective: Objective
    value: float
    """The objective on the validation split."""
    weights: Path | None
    """`best.pt`; None where it is not there, or the trainer keeps no weights."""
    settings: Path | None
    """`best.yaml`; None where it is not there."""
    commands: Mapping[str, str]
    """Command lines of Ultralytics by what they do; none for other trainers."""

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "stage": self.stage,
            "number": self.trial,
            "label": self.label,
            "params": dict(self.params),
            "objective": self.objective,
            "value": self.value,
            "weights": None if self.weights is None else str(self.weights),
            "settings": None if self.settings is None else str(self.settings),
            "commands": dict(self.commands),
        }

    @property
    def headline(self) -> str:
        """Say in a line which training it is: `trial 3 of search, map50_95 0.417: lr0=0.01`."""
        settings = settings_line(self.params)
        where = f"trial {self.trial} of {self.stage}, {self.objective} {self.value:.3f}"
        return f"{where}: {settings}" if settings else where


def best_model(record: SweepRecord) -> BestModel | None:
    """Return what a sweep recommends so far; None where nothing has learned anything."""
    objective: Objective = record.spec["objective"]
    best = best_training(record.stages, objective)
    if best is None:
        return None
    written = are_written(record, best)
    weights, settings = (
        path if written and path.is_file() else None
        for path in (
            paths.best_weights(record.runs, record.name),
            paths.best_settings(record.runs, record.name),
        )
    )
    return BestModel(
        stage=best.stage.name,
        trial=best.slot.trial_number or 0,
        label=best.slot.label,
        params=as_given(best.slot.params or {}),
        objective=objective,
        value=score(best.slot, objective),
        weights=weights,
        settings=settings,
        commands={}
        if weights is None or settings is None or record.spec.get("trainer") not in BUILT_IN
        else _commands(record, best, weights, settings),
    )


def best_lines(record: SweepRecord) -> list[str]:
    """Say in lines where a sweep's best model is, and what to know of it."""
    found = best_model(record)
    lines = [hint.text for hint in hints(record)]
    if found is None or found.settings is None:
        return lines
    return [
        *([] if found.weights is None else [f"best model: {found.weights}"]),
        f"best settings: {found.settings} (`sweep best {record.name}` says more)",
        *lines,
    ]


def hints_as_json(found: tuple[Hint, ...]) -> list[dict[str, str]]:
    """Return hints as plain JSON values."""
    return [{"kind": hint.kind, "text": hint.text} for hint in found]


def _commands(
    record: SweepRecord, best: BestTraining, weights: Path, settings: Path
) -> dict[str, str]:
    known = best_settings(record, best)
    size = f"imgsz={known.get('imgsz', 640)}"
    data = known.get("data")
    model = f"model={weights}"
    return {
        "train": _yolo("train", f"cfg={settings}"),
        **({} if data is None else {"val": _yolo("val", model, f"data={data}", size)}),
        "predict": _yolo("predict", model, f"source={_pictures(record)}", size),
        "export": _yolo("export", model, "format=onnx", size),
    }


def _pictures(record: SweepRecord) -> Path:
    """Return a folder with images to look at: those of the test split, where there are any."""
    images = (record.dataset or Path()) / "images"
    test = images / "test"
    return test if test.is_dir() and any(test.iterdir()) else images / "val"


def _yolo(*words: str) -> str:
    return shlex.join(["yolo", *words])
