"""The retrain stage by hand."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy import Engine

from storage.errors import DatabaseGone
from storage.queue import sweeps
from storage.queue.stages import NewSlot, NewStage
from storage.snapshot.reader import read_sweep
from storage.snapshot.records import SweepRecord
from storage.states import SweepState
from sweep.data.prepared import PreparedDataset
from sweep.errors import InputError
from sweep.files.validation import explain
from sweep.files.yaml import read_value
from sweep.paths import study_name
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.plan import kind_of
from sweep.stages.ranking import best_slot, leading_slot
from sweep.stages.retrain import DEFAULT_EPOCHS, Retrain
from sweep.submission.checks import SplitCounts
from sweep.training.contract import Value
from sweep.training.registry import BUILT_IN

_OPTION = "--baseline"


def add_retrain_stage(
    engine: Engine, name: str, *, epochs: int | None = None, baseline: Sequence[str] = ()
) -> None:
    """Append a retrain stage to a sweep whose other stages go on or are done.

    Named `retrain` where there is none yet, else `retrain-2`, `retrain-3`, …

    Args:
        engine: Where the sweep is.
        name: The sweep.
        epochs: Of the retraining; None for as many as the sweep file says, or `DEFAULT_EPOCHS`.
        baseline: Settings to train beside the best, each written `KEY=VALUE`; none for those of
            the sweep file, and where that has none, for the best alone.

    Raises:
        SweepNotFound: If there is no sweep of this name.
        InputError: If it cannot be retrained, or a setting is wrong.
        CommandRefused: If it was cancelled meanwhile.
    """
    record = read_sweep(engine, name)
    spec = SweepSpec.model_validate(record.spec)
    epochs = epochs or (spec.retrain.epochs if spec.retrain else DEFAULT_EPOCHS)
    chosen = with_baseline(spec, baseline, epochs=epochs)
    _require_best(record, spec)
    _require_judge(record, spec)
    taken = sum(isinstance(kind_of(stage.name), Retrain) for stage in record.stages)
    stage_name = "retrain" if taken == 0 else f"retrain-{taken + 1}"
    stage = NewStage(
        name=stage_name,
        study=study_name(name, stage_name),
        epochs=epochs,
        slots=_slots(record, chosen) if baseline else None,
    )
    try:
        sweeps.add_stage(engine, name, stage)
    except DatabaseGone:  # perhaps after it was added: a user who asks again would get another
        sweeps.add_stage(engine, name, stage)


def _require_best(record: SweepRecord, spec: SweepSpec) -> None:
    name, slots = record.name, record.stages[0].slots
    if record.state is SweepState.CANCELLED:
        raise InputError(f"{name}: is cancelled; submit it under another `name` to retrain")
    if record.state is SweepState.DELETING:
        raise InputError(f"{name}: is being deleted; submit it again to retrain")
    if best_slot(slots, spec.objective) is not None:
        return
    if leading_slot(slots, spec.objective) is None:
        raise InputError(f"{name}: no trial of the search has completed yet; nothing to retrain")
    raise InputError(
        f"{name}: every completed trial of the search scored 0, so none is the best to retrain; "
        "give the search more `epochs` under another `name`"
    )


def _require_judge(record: SweepRecord, spec: SweepSpec) -> None:
    """Refuse to train for hours what cannot be judged then."""
    if spec.retrain is not None or record.dataset is None or spec.trainer not in BUILT_IN:
        return  # submit has looked
    try:
        counts = SplitCounts.of_prepared(PreparedDataset.load(record.dataset))
    except InputError:
        return  # another machine's, where the workers are
    if lack := counts.lack("test"):
        raise InputError(
            f"{record.name}: its dataset's test split {lack}, so a retrained model cannot be "
            "judged; submit the sweep under another `name` with `judge_on: val` under `retrain:`"
        )


def with_baseline(spec: SweepSpec, settings: Sequence[str], *, epochs: int) -> SweepSpec:
    """Return a sweep with these settings as its baseline; as it is where there are none.

    Args:
        spec: The sweep.
        settings: Each written `KEY=VALUE`.
        epochs: Of the retraining.

    Raises:
        InputError: If they are wrong.
    """
    if not settings:
        return spec
    found: dict[str, Value] = {}
    for name, value in map(_setting, settings):
        if name in found:
            raise InputError(f"{_OPTION} {name}: given twice; keep one")
        found[name] = value
    written = spec.to_json()
    retrain = {**written.get("retrain", {}), "epochs": epochs, "baseline": found}
    try:
        return SweepSpec.model_validate({**written, "retrain": retrain})
    except ValidationError as error:
        raise InputError(explain(error, SweepSpec, Path(_OPTION))) from error


def _setting(text: str) -> tuple[str, Value]:
    """Read `KEY=VALUE`, its value as a sweep file has it.

    Raises:
        InputError: If it is written otherwise, or its value is not clear.
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    if not (name and equals and value):
        raise InputError(
            f"{_OPTION} {text}: should be a setting and its value; write KEY=VALUE, e.g. lr0=0.01"
        )
    return name, read_value(value, Path(f"{_OPTION} {name}"))


def _slots(record: SweepRecord, spec: SweepSpec) -> Sequence[NewSlot]:
    """Plan the slots now: a stage that waits is planned from the sweep file, without a baseline.

    Raises:
        InputError: If the search goes on, so that the best may change.
    """
    search = record.stages[0]
    left = sum(not slot.state.final for slot in search.slots)
    if left:
        raise InputError(
            f"{_OPTION}: {left} trials of the search are not over, so the best may change; "
            "give it when they are"
        )
    return Retrain().slots(spec, [search])
