"""A worker holds a connection only while it has something to say."""

import os
import shutil

import pytest

from storage.states import SlotState
from tests.command import Command, kill_group, wait_until
from tests.crash import patient
from tests.crash.workers import read, running, started_worker, sweep_file
from tests.postgres import Postgres

pytestmark = pytest.mark.slow


def test_idle_workers_and_trainings_hold_no_connection(sweep: Command, postgres: Postgres) -> None:
    name = f"connections_{os.getpid()}"
    url = postgres.create_database(name)
    shutil.copy(patient.__file__, sweep.folder)
    content = sweep_file(trainer=patient.TRAINER, train={})
    content["search"] |= {"epochs": 400, "space": {"lr0": [0.1, 0.01]}}
    assert sweep("submit", sweep.write("one.yaml", content), "--storage", url).code == 0
    workers = [started_worker(sweep, url) for _ in range(3)]  # one of them has nothing to do
    try:
        wait_until(lambda: len(read(url).workers) == 3, workers[0])
        wait_until(lambda: running(url) == 2, workers[0])
        wait_until(lambda: postgres.connections(name) == 0, workers[0])
        states = [slot.state for slot in read(url).stages[0].slots]
        assert states == [SlotState.RUNNING] * 2
        (sweep.folder / patient.HURRY).touch()
        wait_until(lambda: read(url).state == "done", workers[0])
        wait_until(lambda: postgres.connections(name) == 0, workers[0])
        assert all(worker.poll() is None for worker in workers)
    finally:
        for worker in workers:
            kill_group(worker)
    postgres.drop_database(name)
