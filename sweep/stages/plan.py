"""The table of the kinds of stages, and which of them a sweep has."""

from storage.database import Database
from storage.queue.stages import NewStage
from storage.queue.sweeps import Submission
from sweep.errors import InputError
from sweep.paths import study_name
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.base import Stage
from sweep.stages.notes import study_note
from sweep.stages.retrain import Retrain
from sweep.stages.search import Search

STAGES: dict[str, Stage] = {
    "search": Search(),
    "retrain": Retrain(),
}
"""By name, in the order in which a sweep goes through them; a name has no hyphen."""


def kind_of(stage: str) -> Stage:
    """Return the kind of a stage by its stored name: `retrain-2` is the second `retrain`.

    Raises:
        InputError: If this program knows no such kind.
    """
    kind = stage.partition("-")[0]
    if kind not in STAGES:
        raise InputError(
            f"its stage {stage!r} is of a kind that this program does not know; known are "
            f"{', '.join(STAGES)}: a newer version may have made it"
        )
    return STAGES[kind]


def planned_stages(spec: SweepSpec) -> list[NewStage]:
    """Return the stages of a new sweep; those that depend on others wait for them without slots."""
    return [
        NewStage(
            name=name,
            study=study_name(spec.name, name),
            epochs=epochs,
            slots=kind.slots(spec, ()) if kind.opens_at_submit else None,
        )
        for name, kind in STAGES.items()
        if (epochs := kind.epochs(spec)) is not None
    ]


def ensure_study(database: Database, submission: Submission, study: str, spec: SweepSpec) -> None:
    """Make a stage's Optuna study unless it is there; it tells what it is a study of."""
    stage = study.removeprefix(study_name(spec.name, ""))
    database.studies.ensure(
        study,
        metric=spec.objective,
        attributes={
            "sweep": spec.name,
            "spec": spec.to_json(),
            "dataset": None if submission.dataset is None else submission.dataset.name,
            "fingerprint": submission.fingerprint,
        },
        note=study_note(spec, submission.runs, stage, kind_of(stage)),
    )
