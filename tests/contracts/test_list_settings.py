"""Settings that are lists: from the file through Optuna and the database to the training."""

import csv
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from storage.snapshot.reader import read_summary, read_sweep
from sweep.api.results import results_of
from sweep.cli.tables import as_table
from sweep.report.page import build_report
from sweep.spec.sweep_file import SweepSpec
from sweep.spec.value import as_scalar, from_scalar
from sweep.submission.submit import load, submit
from sweep.training.contract import Device
from sweep.worker.shutdown import Shutdown
from sweep.worker.worker import Worker

pytestmark = pytest.mark.slow

LISTS = [[0.1, 0.2], [0.3], None]
SWEEP: dict[str, Any] = {
    "name": "one",
    "trainer": "sweep.testing:instant_trainer",
    "model": "none",
    "train": {"freeze": [0, 1, 2]},
    "search": {
        "epochs": 1,
        "space": {
            "momentum": LISTS,
            "lr0": {"choices": [0.1, 0.01], "when": {"momentum": [[0.1, 0.2]]}},
        },
    },
    "retrain": {"epochs": 1, "baseline": {"momentum": [0.9, 0.8]}},
}
"""The instant trainer tells what it got as `momentum`."""


@pytest.mark.parametrize("value", [[0, 1, 2], [], ["22.cv2", 3], [0.5, True, None], "a", None, 0.1])
def test_a_value_comes_back_from_its_stored_form(value: Any) -> None:
    stored = as_scalar(value)
    assert stored is None or isinstance(stored, bool | int | float | str)
    assert from_scalar(stored) == value


@pytest.mark.parametrize("text", ["[", "[0, 1", "[0,1]", "[a]", "[0, 1] "])
def test_a_text_that_is_no_list_stays_one(text: str) -> None:
    assert from_scalar(text) == text


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
def test_lists_are_searched_stored_shown_and_trained_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    monkeypatch.chdir(tmp_path)
    budget = {} if sampler == "grid" else {"sampler": sampler, "trials": 5}
    file = tmp_path / "one.yaml"
    content = {**SWEEP, "search": {**SWEEP["search"], **budget}}
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    url = f"sqlite:///{tmp_path / 'sweep.db'}"
    database = submit(url, load(file), file, progress=lambda *_: None).database
    Worker(database, device=Device(), drain=True, shutdown=Shutdown()).run()

    record = read_sweep(database.engine, "one")
    assert SweepSpec.model_validate(record.spec) == load(file)
    trials = results_of(record).trials
    assert [trial.failure for trial in trials] == [None] * len(trials)
    search = [trial.params for trial in trials if trial.stage == "search"]
    if sampler == "grid":
        assert search == [
            {"momentum": [0.1, 0.2], "lr0": 0.1},
            {"momentum": [0.1, 0.2], "lr0": 0.01},
            {"momentum": [0.3]},
            {"momentum": None},
        ]
    assert all(params["momentum"] in LISTS for params in search)
    assert all(("lr0" in params) == (params["momentum"] == [0.1, 0.2]) for params in search)
    assert [trial.effective["momentum"] for trial in trials] == [
        trial.params["momentum"] for trial in trials
    ]
    assert trials[-2].params == {"momentum": [0.9, 0.8]}

    study = optuna.load_study(study_name="one/search", storage=url)
    texts = {"[0.1, 0.2]", "[0.3]", None}
    assert {trial.params["momentum"] for trial in study.trials} <= texts
    assert study.trials_dataframe()["params_momentum"].isin(texts).all()

    taken_home = yaml.safe_load((tmp_path / "runs/one/best.yaml").read_text())
    assert taken_home["freeze"] == [0, 1, 2]
    assert taken_home["momentum"] in [*LISTS, [0.9, 0.8]]

    as_table(read_summary(database.engine, "one"))
    page = build_report(record, tmp_path / "report")
    assert "momentum [0.9, 0.8]" in page.read_text()
    with (page.parent / "tables" / "trials.csv").open() as table:
        assert next(iter(csv.DictReader(table)))["momentum"] in {"[0.1, 0.2]", "[0.3]", ""}


def test_choices_that_are_stored_alike_are_refused() -> None:
    for twice in ([[0, 1], [0, 1]], [1, 1.0], [True, 1]):
        search = {**SWEEP["search"], "space": {"momentum": twice}}
        with pytest.raises(ValueError, match="names a choice twice"):
            SweepSpec.model_validate({**SWEEP, "search": search})
    search = {**SWEEP["search"], "space": {"momentum": [[0, 1], "[0, 1]"]}}
    with pytest.raises(ValueError, match="the text of a list; write it without quotes"):
        SweepSpec.model_validate({**SWEEP, "search": search})
