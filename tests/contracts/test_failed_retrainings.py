"""Where every retraining failed the sweep did not succeed; queued again, it may."""

from pathlib import Path

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from storage.queue import retrying
from storage.snapshot.reader import read_sweep
from storage.states import SweepState
from sweep.api.running import require_success
from sweep.errors import SweepError
from sweep.submission.submit import load, submit
from sweep.training.contract import Device
from sweep.worker.shutdown import Shutdown
from sweep.worker.worker import Worker

pytestmark = pytest.mark.slow

SWEEP = {
    "name": "one",
    "trainer": "sweep.testing:instant_trainer",
    "train": {"fault": "crash", "fault_epoch": 2, "fault_attempts": 1},
    "search": {"epochs": 1, "space": {"lr0": [0.1, 0.01]}},
    "retrain": {"epochs": 2, "baseline": {"lr0": 0.1}},
}


def test_it_is_told_and_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "one.yaml"
    file.write_text(yaml.safe_dump(SWEEP))
    url = f"sqlite:///{tmp_path / 'sweep.db'}"
    database = submit(url, load(file), file, progress=lambda *_: None).database

    def work() -> None:
        Worker(database, device=Device(), drain=True, shutdown=Shutdown()).run()

    work()
    failed = read_sweep(database.engine, "one")
    assert failed.state is SweepState.DONE
    with pytest.raises(SweepError, match=r"no retraining completed; .* `sweep retry one`"):
        require_success(failed)

    assert retrying.retry(database.engine, "one", ["crashed"]) == 2
    work()
    done = read_sweep(database.engine, "one")
    require_success(done)
    study = optuna.load_study(study_name="one/retrain", storage=url)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 2 + [
        TrialState.COMPLETE
    ] * 2
    slots = done.stages[1].slots
    assert [slot.trial_number for slot in slots] == [2, 3]
    assert [trial.user_attrs.get("supersedes") for trial in study.trials] == [None, None, 0, 1]
    assert [list(trial.intermediate_values) for trial in study.trials[2:]] == [[1, 2]] * 2
