"""What a sweep leaves to take home, whoever of its workers dies when."""

import json
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.distributions import FloatDistribution
from optuna_dashboard import get_note
from typer.testing import CliRunner

from storage.database import Database
from sweep.api.status import status_of
from sweep.cli.app import app
from sweep.submission.submit import load, submit
from sweep.training.contract import Device
from sweep.worker import upkeep as of_upkeep
from sweep.worker.shutdown import Shutdown
from sweep.worker.worker import Worker

pytestmark = pytest.mark.slow

SWEEP = {
    "name": "one",
    "trainer": "sweep.testing:instant_trainer",
    "search": {"epochs": 2, "space": {"lr0": [0.1, 0.01, 0.001]}},
    "retrain": {"epochs": 3, "baseline": {"lr0": 0.1}},
}


class KilledError(BaseException):
    """As if the worker had been killed."""


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SWEEP_STORAGE", raising=False)
    file = tmp_path / "one.yaml"
    file.write_text(yaml.safe_dump(SWEEP))
    return submit("sqlite:///sweep.db", load(file), file, progress=lambda *_: None).database


def work(database: Database) -> None:
    Worker(database, device=Device(), drain=True, shutdown=Shutdown()).run()


def epochs() -> int:
    return int(yaml.safe_load(Path("runs/one/best.yaml").read_text())["epochs"])


def test_a_worker_that_dies_before_it_hands_over_is_replaced(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_best, calls = of_upkeep.write_best, list[int]()

    def dies_first(*arguments: object) -> bool:
        calls.append(1)
        if len(calls) in (1, 3):
            raise KilledError
        return write_best(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(of_upkeep, "write_best", dies_first)
    with pytest.raises(KilledError):
        work(database)
    assert not Path("runs/one/best.yaml").exists()
    with pytest.raises(KilledError):  # after the search was handed over, before the retraining is
        work(database)
    assert epochs() == 2
    work(database)
    assert epochs() == 3
    status = status_of(database.engine, "one")
    assert status["state"] == "done"
    assert (status["best"]["stage"], status["best"]["label"]) == ("retrain", "best")
    assert status["best"]["settings"] == str(Path("runs/one/best.yaml").resolve())
    assert Path("runs/one/search/trial-0002/attempt-1/train.log").exists()
    assert Path("runs/one/retrain/best/attempt-1/train.log").exists()

    check_dashboard(tmp_path)
    runner = CliRunner()
    Path("runs/one/best.yaml").unlink()  # as of a sweep that ended before there was one
    found = json.loads(runner.invoke(app, ["best", "one", "--json"]).stdout)
    assert found["params"] == {"lr0": 0.01}
    assert found["settings"] == status["best"]["settings"]
    assert epochs() == 3
    told = runner.invoke(app, ["best", "one"]).stdout
    assert "best: trial 1 of retrain, map50_95 " in told
    assert f"settings: {Path('runs/one/best.yaml').resolve()}" in told
    shown = runner.invoke(app, ["status", "one"]).stdout
    assert "best settings: " in shown


def check_dashboard(folder: Path) -> None:
    """Check what optuna-dashboard shows of the sweep beside its numbers."""
    url = f"sqlite:///{folder / 'sweep.db'}"
    search, retrain = (
        optuna.load_study(study_name=f"one/{stage}", storage=url) for stage in ("search", "retrain")
    )
    for trial in search.trials:
        assert trial.distributions["lr0"] == FloatDistribution(0.001, 0.1, log=True)
    assert [trial.user_attrs["label"] for trial in retrain.trials] == ["baseline", "best"]
    note = get_note(search)
    assert "of 3 settings of lr0, which has the highest map50_95" in note
    assert "over: 3 complete; highest: trial 1, map50_95 " in note
    assert f"{folder / 'reports' / 'one' / 'report.html'}" in note
    assert "PED-ANOVA here and by fANOVA in the report" in note
    assert "how good is the best setting" in get_note(retrain)
    note = get_note(optuna.Trial(retrain, retrain.trials[1]._trial_id))
    assert note.startswith("**best** of one/retrain: `lr0=0.01`")
    assert "State: complete, best epoch 3: mAP50 " in note
    assert f"{folder / 'runs' / 'one' / 'retrain' / 'best' / 'attempt-1' / 'train.log'}" in note
