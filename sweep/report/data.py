"""What a report is made of: a sweep's record and the files of its retrainings, read once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from storage.snapshot.records import StageRecord, SweepRecord
from storage.states import SlotState
from sweep.data.prepared import PreparedDataset
from sweep.errors import InputError
from sweep.evaluation.result import Evaluation
from sweep.paths import PREDICTIONS
from sweep.report.trials import MAP50, MAP50_95, Metric, Trial
from sweep.spec.space import Parameter
from sweep.stages.base import ShownAs
from sweep.stages.best import best_training
from sweep.stages.plan import kind_of
from sweep.stages.retrain import BASELINE, BEST


@dataclass(frozen=True, kw_only=True)
class Run:
    """A full-length training of the retrain stage."""

    trial: Trial
    evaluation: Evaluation | None = None
    """Its `predictions` lie beside it, wherever the run folder was moved."""
    missing: str = ""
    """Why there is no evaluation; empty where there is one."""


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """A sweep at one moment."""

    sweep: SweepRecord
    objective: Metric
    space: Mapping[str, Parameter]
    """The searched settings."""
    trials: tuple[Trial, ...]
    """Of all stages, in order."""
    search_stage: StageRecord | None
    """The first stage whose settings are shown."""
    search: tuple[Trial, ...]
    """Its trials."""
    best: Trial | None
    """The completed search trial with the highest objective, the first of equals.

    None where all scored 0: nothing was learned, so none is better.
    """
    retrain_stage: StageRecord | None
    """The stage whose models are shown; None where the sweep has none."""
    retrained: tuple[Run, ...]
    """Baseline (where there is one) and best, as far as the stage has opened."""
    dataset: PreparedDataset | None
    """None where its folder cannot be read here."""

    @property
    def judged_on(self) -> str:
        """The split that the retrained models are judged on."""
        retrain = self.sweep.spec.get("retrain") or {}
        return str(retrain.get("judge_on", "test"))

    @property
    def judged(self) -> dict[str, Evaluation]:
        """Evaluations of the retrained models that have one, by label."""
        return {
            str(run.trial.slot.label): run.evaluation
            for run in self.retrained
            if run.evaluation is not None
        }

    def run(self, label: str) -> Run | None:
        """Return the retraining with this label: `baseline` or `best`."""
        return next((run for run in self.retrained if run.trial.slot.label == label), None)

    def missing(self, label: str) -> str:
        """Say why the retraining with this label has no evaluation; empty where it has one."""
        run = self.run(label)
        if run is None:
            return "nobody asked for it" if self.retrained else "its training has not begun"
        return run.missing


def read(sweep: SweepRecord) -> ReportData:
    """Read the files that `sweep` points to and put them beside it.

    Files that are not there (the report may be made on another machine) leave a reason behind,
    not an error.
    """
    objective = MAP50 if sweep.spec.get("objective") == MAP50.key else MAP50_95
    search_stage, retrain_stage = _first(sweep, ShownAs.TRIALS), _retraining(sweep, objective)
    search = _trials(search_stage)
    scored = [(score, trial) for trial in search if (score := trial.score(objective))]
    return ReportData(
        sweep=sweep,
        objective=objective,
        space={
            name: Parameter.model_validate(parameter)
            for name, parameter in sweep.spec["search"]["space"].items()
        },
        trials=tuple(trial for stage in sweep.stages for trial in _trials(stage)),
        search_stage=search_stage,
        search=search,
        best=max(scored, key=lambda pair: pair[0])[1] if scored else None,
        retrain_stage=retrain_stage,
        retrained=tuple(
            _run(trial)
            for label in (BASELINE, BEST)
            for trial in _trials(retrain_stage)
            if trial.slot.label == label
        ),
        dataset=_dataset(sweep.dataset),
    )


def _first(sweep: SweepRecord, way: ShownAs) -> StageRecord | None:
    return next((stage for stage in sweep.stages if kind_of(stage.name).shown_as is way), None)


def _retraining(sweep: SweepRecord, objective: Metric) -> StageRecord | None:
    """Return the retraining that gave the recommended model; the first where none did."""
    best = best_training(sweep.stages, objective.key)
    if best is not None and kind_of(best.stage.name).shown_as is ShownAs.MODELS:
        return best.stage
    return _first(sweep, ShownAs.MODELS)


def _trials(stage: StageRecord | None) -> tuple[Trial, ...]:
    return () if stage is None else tuple(Trial(stage=stage.name, slot=s) for s in stage.slots)


def _run(trial: Trial) -> Run:
    if trial.state is not SlotState.COMPLETE:
        why = f" ({trial.reason})" if trial.reason else ""
        return Run(trial=trial, missing=f"its training is {trial.state}{why}")
    found: Any = trial.result.get("evaluation")
    if found is None:
        return Run(trial=trial, missing="its training wrote no evaluation")
    path = Path(found)
    try:
        evaluation = Evaluation.load(path)
    except OSError as error:
        missing = f"{path.name} cannot be read here ({error.strerror})"
        return Run(trial=trial, missing=missing)
    except ValidationError:
        return Run(trial=trial, missing=f"{path.name} is not an evaluation of this version")
    moved = {"predictions": path.parent / PREDICTIONS}
    return Run(trial=trial, evaluation=evaluation.model_copy(update=moved))


def _dataset(path: Path | None) -> PreparedDataset | None:
    if path is None:  # a sweep with a trainer of its own may go without
        return None
    try:
        return PreparedDataset.load(path)
    except InputError:
        return None
