"""What a sweep's trials came to, as plain records."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from storage.snapshot.records import EpochRecord, SweepRecord
from sweep.api.database import errors_of_sweep, look
from sweep.errors import InputError
from sweep.report import trials as report
from sweep.spec.value import as_given
from sweep.worker.places import read_here

if TYPE_CHECKING:
    import pandas

Record = TypeVar("Record", bound="Trial | Epoch | ClassScore")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One budgeted trial, begun or not. Its scores are its best epoch's on the validation split."""

    stage: str
    """`search`, `retrain`, …"""
    number: int | None
    """In the stage's Optuna study; None before it was begun."""
    label: str | None
    """What it is for where that matters: `baseline`, `best`."""
    state: str
    """queued, running, complete, pruned, failed or cancelled."""
    params: Mapping[str, Any]
    """The searched settings; empty until a sampler chose them."""
    map50: float | None
    """This and all scores below in [0, 1]; None unless complete."""
    map50_95: float | None
    precision: float | None
    recall: float | None
    best_epoch: int | None
    """From 1; the first of equals."""
    last_map50: float | None
    """Of the last epoch, as `last_map50_95`."""
    last_map50_95: float | None
    epochs: int
    """Epochs trained so far."""
    seconds: float
    """Wall time of these epochs, validation included."""
    attempts: int
    """How often it was begun, here or elsewhere."""
    worker: str | None
    failure: str | None
    """The kind of the failure: oom, data, crashed, …; None where there was none."""
    message: str | None
    """Why it failed or was pruned, one line."""
    effective: Mapping[str, Any]
    """What the training really ran with; empty unless complete."""
    checkpoint: Path | None
    """Weights of the best epoch, in Ultralytics' format."""
    evaluation: Path | None
    """`evaluation.json`: the scores of a retrained model on the split it was judged on."""


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch of a trial, on the validation split; None where a number was not finite."""

    stage: str
    trial: int | None
    """Number of the trial in the stage's Optuna study."""
    label: str | None
    epoch: int
    """From 1."""
    map50: float | None
    map50_95: float | None
    precision: float | None
    recall: float | None
    losses: Mapping[str, float | None]
    """By Ultralytics' names: `train/box_loss`, `val/cls_loss`, …"""
    lr: Mapping[str, float | None]
    """Learning rate by parameter group at the epoch's end: `lr/pg0`, …"""
    seconds: float | None
    """Wall time, validation included."""


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """One class's average precision in a complete trial: at its best epoch, validation split."""

    stage: str
    trial: int | None
    """Number of the trial in the stage's Optuna study."""
    label: str | None
    name: str
    """Of the class."""
    ap50: float | None
    ap: float | None
    """Averaged over IoU 0.50:0.95."""


class Table(tuple[Record, ...]):
    """Records of one kind, in the order of stages, trials and epochs."""

    __slots__ = ()

    def to_pandas(self) -> "pandas.DataFrame":
        """Return a data frame: a row for each record, a column for each field.

        A field that holds names and values has a column for each name: `params.lr0`.

        Raises:
            InputError: If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise InputError(
                "to_pandas: pandas is not installed; pip install 'detsweep[pandas]'"
            ) from error
        return pandas.json_normalize([asdict(record) for record in self])


@dataclass(frozen=True, kw_only=True)
class Results:
    """What a sweep came to so far."""

    trials: Table[Trial]
    """Of all stages, those that were not begun included."""
    epochs: Table[Epoch]
    per_class: Table[ClassScore]


def results(name: str, *, storage: str | None = None) -> Results:
    """Return what a sweep's trials came to so far; also of an unfinished sweep.

    Args:
        name: The sweep.
        storage: URL of the database. None: as SWEEP_STORAGE says, else `sqlite:///sweep.db`.

    Raises:
        InputError: If there is no sweep of this name, or no database that can serve.

    >>> from pathlib import Path
    >>> import sweep
    >>> _ = Path("rates.yaml").write_text('''
    ... name: rates
    ... trainer: sweep.testing:instant_trainer
    ... search: {epochs: 2, space: {lr0: [0.1, 0.01]}}
    ... ''')
    >>> found = sweep.results(sweep.submit("rates.yaml"))
    >>> [(trial.state, trial.params["lr0"]) for trial in found.trials]
    [('queued', 0.1), ('queued', 0.01)]
    """
    with errors_of_sweep():
        return results_of(read_here(look(storage), name))


def results_of(record: SweepRecord) -> Results:
    """Return what is in a sweep's record."""
    trials: list[Trial] = []
    epochs: list[Epoch] = []
    per_class: list[ClassScore] = []
    for stage in record.stages:
        for slot in stage.slots:
            found = report.Trial(stage=stage.name, slot=slot)
            of_trial: dict[str, Any] = {
                "stage": stage.name,
                "trial": slot.trial_number,
                "label": slot.label,
            }
            trials.append(_trial(found))
            epochs += [_epoch(of_trial, epoch) for epoch in slot.epochs]
            per_class += [
                ClassScore(**of_trial, **scores) for scores in found.result.get("per_class", ())
            ]
    return Results(trials=Table(trials), epochs=Table(epochs), per_class=Table(per_class))


def _epoch(of_trial: Mapping[str, Any], found: EpochRecord) -> Epoch:
    told = found.report
    return Epoch(
        **of_trial,
        epoch=found.epoch,
        map50=found.map50,
        map50_95=found.map50_95,
        precision=told.get("precision"),
        recall=told.get("recall"),
        losses=told.get("losses", {}),
        lr=told.get("lr", {}),
        seconds=told.get("seconds"),
    )


def _trial(found: report.Trial) -> Trial:
    slot, result = found.slot, found.result
    checkpoint, evaluation = result.get("checkpoint"), result.get("evaluation")
    return Trial(
        stage=found.stage,
        number=slot.trial_number,
        label=slot.label,
        state=str(slot.state),
        params=as_given(found.params),
        **{name: result.get(name) for name in report.SCORES},
        epochs=len(slot.epochs),
        seconds=found.seconds,
        attempts=slot.attempt,
        worker=slot.worker,
        failure=slot.failure_kind,
        message=slot.message,
        effective=result.get("effective", {}),
        checkpoint=None if checkpoint is None else Path(checkpoint),
        evaluation=None if evaluation is None else Path(evaluation),
    )
