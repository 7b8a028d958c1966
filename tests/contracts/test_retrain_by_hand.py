"""The retrain stage by hand: of which settings, for how long, and what is refused."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine

from storage.process_identity import ProcessIdentity
from storage.queue import commands
from storage.queue.queue import Queue
from storage.snapshot.reader import read_sweep
from storage.snapshot.records import StageRecord
from storage.states import SlotState, StageState
from sweep.errors import InputError
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.plan import kind_of
from sweep.submission.retrain import add_retrain_stage, with_baseline
from sweep.submission.submit import load, submit

pytestmark = pytest.mark.slow

Searched = Callable[..., Engine]


@pytest.fixture
def searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Searched:
    """Return a function that queues a sweep of three rates and gives its trials their scores."""
    monkeypatch.chdir(tmp_path)

    def make(scores: Sequence[float] = (0.1, 0.3, 0.2), **changes: Any) -> Engine:
        content = {
            "name": "one",
            "trainer": "sweep.testing:instant_trainer",
            "search": {"epochs": 2, "space": {"lr0": [0.1, 0.01, 0.001]}},
        }
        file = tmp_path / "one.yaml"
        file.write_text(yaml.safe_dump(content | changes))
        engine = submit(
            "sqlite:///sweep.db", load(file), file, progress=lambda *_: None
        ).database.engine
        queue = Queue(engine)
        for value in scores:
            lease = queue.claim("worker", ProcessIdentity.current())
            assert lease is not None
            result = {"map50": value, "map50_95": value}
            queue.close(queue.settle(lease, SlotState.COMPLETE, result=result, value=value))
        return engine

    return make


def added(engine: Engine, **options: Any) -> StageRecord:
    add_retrain_stage(engine, "one", **options)
    return read_sweep(engine, "one").stages[-1]


def test_without_retrain_in_the_file_the_best_is_retrained_alone(searched: Searched) -> None:
    engine = searched()
    stage = added(engine)
    assert (stage.name, stage.epochs, stage.state) == ("retrain", 100, StageState.WAITING)
    record = read_sweep(engine, "one")
    planned = kind_of(stage.name).slots(SweepSpec.model_validate(record.spec), record.stages[:1])
    assert [(slot.label, slot.params) for slot in planned] == [("best", {"lr0": 0.01})]


def test_a_baseline_is_trained_beside_it(searched: Searched) -> None:
    stage = added(searched(), epochs=7, baseline=["optimizer=SGD", "lr0=1e-1", "nesterov=true"])
    assert (stage.epochs, stage.state) == (7, StageState.OPEN)
    baseline = {"optimizer": "SGD", "lr0": 0.1, "nesterov": True}
    assert [(slot.label, slot.params) for slot in stage.slots] == [
        ("baseline", baseline),
        ("best", {"lr0": 0.01}),
    ]


def test_a_baseline_wins_over_the_files(searched: Searched) -> None:
    engine = searched(retrain={"epochs": 9, "baseline": {"lr0": 0.5}})
    stage = added(engine, baseline=["lr0=0.2"])
    assert (stage.name, stage.epochs) == ("retrain-2", 9)
    assert [slot.params for slot in stage.slots] == [{"lr0": 0.2}, {"lr0": 0.01}]
    assert added(engine).name == "retrain-3"


@pytest.mark.parametrize(
    ("baseline", "says"),
    [
        (["lr0"], "--baseline lr0: should be a setting and its value; write KEY=VALUE"),
        (["=0.1"], "--baseline =0.1: should be a setting and its value"),
        (["lr0=0.1", "lr0=0.2"], "--baseline lr0: given twice; keep one"),
        (["lr0={a: 1}"], "--baseline: retrain.baseline.lr0: "),
    ],
)
def test_a_baseline_written_wrongly_is_one_line(
    searched: Searched, baseline: list[str], says: str
) -> None:
    engine = searched()
    with pytest.raises(InputError) as refused:
        added(engine, baseline=baseline)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(read_sweep(engine, "one").stages) == 1, "nothing was added"


@pytest.mark.parametrize(
    ("baseline", "says"),
    [
        (["optimizer=SGD", "lrO=0.1"], "'lrO' is no training setting of a detector"),
        (["optimizer=SGD", "lr0=7"], "'lr0' is 7, allowed is a number in (0, 1]"),
        (["lr0=0.1"], "retrain.baseline.optimizer: must name the optimizer"),
    ],
)
def test_a_baseline_is_checked_as_in_a_file(baseline: list[str], says: str) -> None:
    spec = SweepSpec.model_validate(
        {
            "name": "one",
            "dataset": "d.yaml",
            "search": {"epochs": 2, "space": {"optimizer": ["SGD", "AdamW"]}},
        }
    )
    with pytest.raises(InputError) as refused:
        with_baseline(spec, baseline, epochs=3)
    assert str(refused.value).startswith("--baseline: ")
    assert says in str(refused.value)


def test_what_cannot_be_retrained_is_refused(searched: Searched) -> None:
    engine = searched(scores=[])
    with pytest.raises(InputError, match="no trial of the search has completed yet"):
        added(engine)
    commands.cancel(engine, "one")
    with pytest.raises(InputError, match="is cancelled"):
        added(engine)


def test_where_all_scored_zero_there_is_nothing_to_retrain(searched: Searched) -> None:
    with pytest.raises(InputError, match=r"every completed trial of the search scored 0, so none"):
        added(searched([0.0, 0.0, 0.0]))


def test_a_baseline_waits_for_the_end_of_the_search(searched: Searched) -> None:
    engine = searched([0.1])
    assert added(engine).state is StageState.WAITING
    with pytest.raises(InputError, match="--baseline: 2 trials of the search are not over"):
        added(engine, baseline=["lr0=0.1"])
