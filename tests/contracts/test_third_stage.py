"""A new kind of stage is one file (`tests/repeats.py`) and one line in the table."""

from pathlib import Path

import optuna
import pytest
import yaml
from rich.console import Console

from storage.snapshot.reader import read_summary, read_sweep
from storage.snapshot.records import StageRecord, SweepSummary
from storage.states import SlotState, StageState, SweepState
from sweep.api.status import status_of, time_left_s
from sweep.cli.tables import as_table
from sweep.report.page import build_report
from sweep.stages.plan import STAGES
from sweep.submission.estimate import estimate
from sweep.submission.submit import load, submit
from sweep.testing import made_up_epoch
from sweep.training.contract import Device
from sweep.worker.shutdown import Shutdown
from sweep.worker.worker import Worker
from tests.repeats import Repeats

pytestmark = pytest.mark.slow

SWEEP = {
    "name": "one",
    "trainer": "sweep.testing:instant_trainer",
    "model": "none",
    "search": {"epochs": 2, "space": {"lr0": [0.1, 0.01]}},
    "retrain": {"epochs": 3, "baseline": {"lr0": 0.1}},
    "seed": 5,
}


@pytest.fixture(autouse=True)
def third_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STAGES, "repeats", Repeats())


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "one.yaml"
    path.write_text(yaml.safe_dump(SWEEP))
    return path


def status(found: SweepSummary) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(as_table(found))
    return captured.get()


def scores(stage: StageRecord) -> list[float]:
    return [slot.result["map50_95"] for slot in stage.slots if slot.result is not None]


def test_its_cost_is_told(file: Path) -> None:
    assert estimate(file).epochs == {"search": 4, "retrain": 6, "repeats": 6}
    assert "repeats: 3 trials, 6 epochs in all" in estimate(file).as_text()


def test_a_sweep_with_it_is_trained_to_its_end_shown_and_reported_on(file: Path) -> None:
    url = f"sqlite:///{file.parent / 'sweep.db'}"
    submitted = submit(url, load(file), file, progress=lambda *_: None)
    database = submitted.database
    waiting = status_of(database.engine, "one")["stages"]
    assert [(stage["name"], stage["total"]) for stage in waiting] == [
        ("search", 2),
        ("retrain", 0),
        ("repeats", 0),
    ]
    assert status(read_summary(database.engine, "one")).count("waiting") == 2

    Worker(database, device=Device(), drain=True, shutdown=Shutdown()).run()

    record = read_sweep(database.engine, "one")
    assert record.state is SweepState.DONE
    search, retrain, repeats = record.stages
    assert {stage.state for stage in record.stages} == {StageState.DONE}
    assert {slot.state for slot in (*search.slots, *retrain.slots, *repeats.slots)} == {
        SlotState.COMPLETE
    }
    assert [slot.label for slot in retrain.slots] == ["baseline", "best"]
    assert [slot.label for slot in repeats.slots] == ["repeat 1", "repeat 2", "repeat 3"]
    assert [slot.params for slot in repeats.slots] == [{"lr0": 0.01}] * 3
    assert [len(slot.epochs) for slot in repeats.slots] == [2, 2, 2]
    assert scores(repeats) == [
        made_up_epoch({"lr0": 0.01}, seed=seed, epoch=2).map50_95 for seed in (6, 7, 8)
    ]
    assert len({*scores(repeats), *scores(search)}) == 5, "each seed has numbers of its own"

    study = optuna.load_study(study_name="one/repeats", storage=url)
    assert sorted(trial.value or 0 for trial in study.trials) == sorted(scores(repeats))
    assert "repeats" in status(read_summary(database.engine, "one"))
    assert status_of(database.engine, "one")["stages"][2]["counts"]["complete"] == 3
    page = build_report(record, file.parent / "report")
    assert "repeats: 3 of 3 trials settled" in page.read_text()
    rows = (page.parent / "tables" / "trials.csv").read_text().splitlines()
    assert sum(row.startswith("repeats,") for row in rows) == 3


def test_what_is_expected_of_it_counts_as_time_left(file: Path) -> None:
    file.write_text(yaml.safe_dump({**SWEEP, "train": {"seconds_per_epoch": 0.01}}))
    url = f"sqlite:///{file.parent / 'sweep.db'}"
    database = submit(url, load(file), file, progress=lambda *_: None).database
    worker = Worker(database, device=Device(), shutdown=Shutdown())
    lease = worker._claim()
    assert lease is not None
    worker._note(lease)
    worker._serve(lease)
    # One trial of the search is left, and both later stages.
    expected = pytest.approx(0.01 * (2 + 2 * 3 + 3 * 2))
    assert time_left_s(read_summary(database.engine, "one")) == expected
