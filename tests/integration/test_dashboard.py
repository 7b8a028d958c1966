"""optuna-dashboard reads what a sweep leaves, unchanged."""

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.command import Command
from tests.ports import free_port

pytestmark = pytest.mark.slow
pytest.importorskip(
    "optuna_dashboard", reason="needs optuna-dashboard: pip install optuna-dashboard"
)

CONTENT: dict[str, Any] = {
    "name": "one",
    "trainer": "sweep.testing:instant_trainer",
    "search": {"epochs": 2, "space": {"lr0": [0.1, 0.01], "momentum": [0.9]}},
    "retrain": {"epochs": 3, "baseline": {"lr0": 0.1}},
}


@pytest.fixture
def dashboard(sweep: Command) -> Iterator[str]:
    assert sweep("run", sweep.write("one.yaml", CONTENT)).code == 0
    port = free_port()
    server = sweep.start("dashboard", "--port", str(port))
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, server)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.communicate()


def _wait_for(url: str, server: subprocess.Popen[str]) -> None:
    while server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/api/meta"):
            return
        time.sleep(0.05)
    pytest.fail(str(server.communicate()))


def get(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def test_the_dashboard_shows_both_studies_with_both_metrics(dashboard: str) -> None:
    found = get(f"{dashboard}/api/studies")["study_summaries"]
    summaries = {summary["study_name"]: summary for summary in found}
    assert summaries.keys() == {"one/search", "one/retrain"}
    for name, trials in (("one/search", 2), ("one/retrain", 2)):
        study = get(f"{dashboard}/api/studies/{summaries[name]['study_id']}?after=0")
        assert study["objective_names"] == ["map50_95"]
        assert len(study["trials"]) == trials
        for trial in study["trials"]:
            attributes = {pair["key"]: pair["value"] for pair in trial["user_attrs"]}
            assert trial["state"] == "Complete"
            assert trial["values"] == [float(attributes["map50_95"])]
            assert float(attributes["map50"]) > float(attributes["map50_95"])
