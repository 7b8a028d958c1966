"""What a sweep comes to does not depend on how many workers it had, and which of them died.

For grid and random without a pruner: the tables, Optuna's trials, the CSV files and the report's
data of a sweep by one worker, by several, and by several of which one is killed again and again,
are equal, but for times, hosts and attempts.

By hand, with eight workers and more trials, one killed every 20 s:
`SWEEP_TEST_KILL_EVERY_S=20 python -m pytest -s tests/crash/test_same_tables.py`.
"""

import csv
import dataclasses
import json
import os
import random
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from sqlalchemy import select

from storage.database import Database
from storage.engine import reading
from storage.snapshot.reader import read_sweep
from storage.states import SlotState, SweepState
from storage.tables import attempts, metadata
from sweep.report.data import read
from tests.command import Command
from tests.crash.workers import EPOCHS, started_worker
from tests.postgres import Postgres

pytestmark = pytest.mark.slow

BY_HAND = "SWEEP_TEST_KILL_EVERY_S" in os.environ
KILL_EVERY_S = float(os.environ.get("SWEEP_TEST_KILL_EVERY_S", "0.5"))
WORKERS = 8 if BY_HAND else 4
KILLS = 5 if BY_HAND else 2
TRIALS = 16 if BY_HAND else 6
EPOCH_S = 6.0 if BY_HAND else 0.25
LIMIT_S = 1800.0
TIMES_HOSTS_ATTEMPTS = {
    *("attempt", "attempts", "worker", "workers", "owner", "owner_host", "claim", "host", "pid"),
    *("created_at", "started_at", "finished_at", "recorded_at", "lease_until", "last_seen"),
    *("seconds", "endings", "unplanned", "trial_id", "datetime_start", "datetime_complete"),
}
"""Names of what may differ, and of Optuna's id of a trial: PostgreSQL gives none out twice."""
TABLES = ("sweeps", "stages", "slots", "epochs")


def sweep_file(sampler: str) -> dict[str, Any]:
    rates = [round(0.1 / 1.2**number, 6) for number in range(TRIALS)]
    space: Any = {"lr0": rates}
    search: dict[str, Any] = {"epochs": EPOCHS, "space": space}
    if sampler == "random":
        space = {"lr0": {"low": 1e-4, "high": 1e-1, "log": True}, "optimizer": ["SGD", "AdamW"]}
        search |= {"space": space, "sampler": "random", "trials": TRIALS}
    return {
        "name": "one",
        "trainer": "sweep.testing:instant_trainer",
        "train": {"seconds_per_epoch": EPOCH_S},
        "search": search,
        "retrain": {"epochs": EPOCHS, "baseline": {"lr0": 0.02}},
    }


def carry_out(url: str, folder: Path, spec: dict[str, Any], *, workers: int, kills: int) -> None:
    """Have a sweep done by workers, killing one amid a trial so many times; each is replaced."""
    folder.mkdir()
    sweep, chance = Command(folder), random.Random(kills)
    submitted = sweep("submit", sweep.write("one.yaml", spec), "--storage", url)
    assert submitted.code == 0, submitted.err
    at_work = [started_worker(sweep, url, "--drain") for _ in range(workers)]
    began = killed = time.monotonic()
    try:
        while not _over(url):
            assert time.monotonic() - began < LIMIT_S
            time.sleep(0.1)
            if kills and time.monotonic() - killed > KILL_EVERY_S and (busy := _busy(url)):
                kills, killed = kills - 1, time.monotonic()
                os.kill(chance.choice(busy), signal.SIGKILL)
                at_work.append(started_worker(sweep, url, "--drain"))
        assert kills == 0
    finally:
        for worker in at_work:
            _end(worker)


def _end(worker: "subprocess.Popen[str]") -> None:
    if worker.poll() is None:
        worker.terminate()
    worker.communicate(timeout=60)


def _over(url: str) -> bool:
    return _record(url).state is SweepState.DONE


def _busy(url: str) -> list[int]:
    """List the processes of workers that have begun a trial and not come to its last epoch."""
    slots = [slot for stage in _record(url).stages for slot in stage.slots]
    workers = [
        slot.worker
        for slot in slots
        if slot.state is SlotState.RUNNING and 0 < slot.epochs_done < EPOCHS and slot.worker
    ]
    pids = [
        int(worker.removeprefix(f"{socket.gethostname()}-").partition("-")[0]) for worker in workers
    ]
    return [pid for pid in pids if psutil.pid_exists(pid)]


def _record(url: str) -> Any:
    engine = Database.open(url).engine
    try:
        return read_sweep(engine, "one")
    finally:
        engine.dispose()


def found(url: str, folder: Path) -> dict[str, Any]:
    """Return all that a sweep came to, but for times, hosts and attempts."""
    database = Database.open(url)
    content: dict[str, Any] = {}
    with reading(database.engine) as connection:
        for name in TABLES:
            table = metadata.tables[name]
            rows = connection.execute(select(table).order_by(*table.primary_key.columns))
            content[name] = [dict(row._mapping) for row in rows]
        content["claims"] = len(connection.execute(select(attempts)).all())
    database.engine.dispose()
    for study in optuna.get_all_study_names(url):
        trials = optuna.load_study(study_name=study, storage=url).trials
        content[study] = [vars(trial) for trial in trials]
    content["report"] = dataclasses.asdict(read(_record(url)))
    out = folder / "out"
    assert Command(folder)("report", "one", "--storage", url, "--out", out).code == 0
    for file in sorted((out / "tables").iterdir()):
        with file.open(newline="") as lines:
            content[file.name] = list(csv.DictReader(lines))
    claims = content.pop("claims")
    text = json.dumps(_scrubbed(content), default=_plain, sort_keys=True, indent=1)
    text = re.sub(r"attempt-\d+", "attempt", text.replace(str(folder), ""))
    return {"claims": claims, "text": text}


def _scrubbed(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _scrubbed(of)
            for key, of in value.items()
            if str(key).lstrip("_") not in TIMES_HOSTS_ATTEMPTS
        }
    if isinstance(value, list | tuple):
        return [_scrubbed(one) for one in value]
    return value


def _plain(value: Any) -> Any:
    return vars(value) if isinstance(value, optuna.distributions.BaseDistribution) else str(value)


@pytest.mark.parametrize(("sampler", "kind"), [("grid", "sqlite"), ("random", "postgresql")])
def test_one_worker_and_many_and_many_that_are_killed_come_to_the_same(
    sampler: str, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    ways = {"one": (1, 0), "many": (WORKERS, 0), "killed": (WORKERS, KILLS)}
    spec, came_to = sweep_file(sampler), {}
    for way, (workers, kills) in ways.items():
        folder = tmp_path / way
        url = f"sqlite:///{tmp_path / f'{way}.db'}"
        if kind == "postgresql":
            server: Postgres = request.getfixturevalue("postgres")
            url = server.create_database(f"same_{sampler}_{way}")
        began = time.monotonic()
        carry_out(url, folder, spec, workers=workers, kills=kills)
        came_to[way] = found(url, folder)
        print(way, round(time.monotonic() - began), "s", came_to[way]["claims"], "claims")
    assert came_to["one"]["claims"] == came_to["many"]["claims"] == TRIALS + 2
    assert came_to["killed"]["claims"] > TRIALS + 2  # else nobody was killed amid a trial
    one = came_to["one"]["text"]
    assert all(name in one for name in ("epochs.csv", "trials.csv", "one/retrain", '"baseline"'))
    for way in ("many", "killed"):
        assert came_to[way]["text"].splitlines() == one.splitlines()
