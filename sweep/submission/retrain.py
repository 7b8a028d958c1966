"""The retrain stage by hand."""

from sqlalchemy import Engine

from storage.queue import sweeps
from storage.queue.stages import NewStage
from storage.snapshot.reader import read_sweep
from sweep.errors import InputError
from sweep.paths import study_name
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.plan import kind_of
from sweep.stages.ranking import best_slot
from sweep.stages.retrain import Retrain


def add_retrain_stage(engine: Engine, name: str, epochs: int | None) -> None:
    """Append a retrain stage to a sweep whose other stages go on or are done.

    Named `retrain` where there is none yet, else `retrain-2`, `retrain-3`, …

    Args:
        engine: Where the sweep is.
        name: The sweep.
        epochs: Of the retraining; None for as many as the sweep file says.

    Raises:
        SweepNotFound: If there is no sweep of this name.
        InputError: If it cannot be retrained.
    """
    record = read_sweep(engine, name)
    spec = SweepSpec.model_validate(record.spec)
    if spec.retrain is None:
        raise InputError(
            f"{name}: its sweep file has no `retrain:`, so there is no baseline to retrain beside "
            "the best; add one and give the sweep another `name`"
        )
    if best_slot(record.stages[0].slots, spec.objective) is None:
        raise InputError(f"{name}: no trial of the search has completed yet; nothing to retrain")
    taken = sum(isinstance(kind_of(stage.name), Retrain) for stage in record.stages)
    stage_name = "retrain" if taken == 0 else f"retrain-{taken + 1}"
    stage = NewStage(
        name=stage_name,
        study=study_name(name, stage_name),
        epochs=epochs or spec.retrain.epochs,
    )
    sweeps.add_stage(engine, name, stage)
