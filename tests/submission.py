"""A sweep put straight into the queue, without a sweep file."""

from pathlib import Path

from sqlalchemy import Engine

from storage.queue import sweeps
from storage.queue.stages import NewSlot, NewStage


def submit(
    engine: Engine, name: str = "one", budget: int = 3, *, epochs: int = 2, retrain: bool = False
) -> bool:
    """Queue a search of `budget` learning rates, in 0 to 1; False if the name is taken."""
    slots = [NewSlot(params={"lr0": 1 / (number + 1)}) for number in range(budget)]
    planned = [NewStage(name="search", study=f"{name}/search", epochs=epochs, slots=slots)]
    if retrain:
        planned.append(NewStage(name="retrain", study=f"{name}/retrain", epochs=9))
    submission = sweeps.Submission(
        name=name,
        spec={"name": name},
        spec_hash="0",
        dataset=None,
        fingerprint="",
        runs=Path("runs"),
        model="yolov8n.yaml",
        model_sha256=None,
    )
    return sweeps.create(engine, submission, planned)
