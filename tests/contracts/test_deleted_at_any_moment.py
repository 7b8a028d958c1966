"""A sweep that is deleted while a worker looks at it: the worker serves the others on."""

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from sqlalchemy import event

from storage.database import Database
from storage.errors import CommandRefused, SweepNotFound
from storage.queue import sweeps
from storage.snapshot.reader import read_sweep
from storage.states import SweepState
from sweep.submission.deleting import delete
from sweep.submission.submit import load, submit
from tests.in_process import serve, train_in_process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PARTS = 4
SWEEP = {"trainer": "sweep.testing:instant_trainer", "search": {"epochs": 1}}


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    train_in_process(monkeypatch)
    return f"sqlite:///{tmp_path / 'sweep.db'}"


def queue(url: str, name: str) -> None:
    file = Path(f"{name}.yaml")
    search = {**SWEEP["search"], "space": {"lr0": [0.1]}}  # type: ignore[dict-item]
    file.write_text(yaml.safe_dump({**SWEEP, "name": name, "search": search}))
    submit(url, load(file), file, progress=lambda *_: None)


def served(url: str, patch: pytest.MonkeyPatch, *, delete_before: int | None) -> int:
    """Serve two sweeps, the first of which is deleted before a transaction; count those."""
    for name in ("doomed", "other"):
        queue(url, name)
    working, deleting = Database.open(url), Database.open(url)
    count = 0

    def on_connect(_connection: object) -> None:
        nonlocal count
        if count == delete_before:
            count += 1
            with suppress(CommandRefused, SweepNotFound):  # while it trains: as with the command
                delete(deleting, "doomed", everything=True)
        count += 1

    event.listen(working.engine, "engine_connect", on_connect)
    serve(working, patch)
    assert read_sweep(deleting.engine, "other").state is SweepState.DONE
    for database in (working, deleting):
        for name in sweeps.names(database.engine):
            delete(database, name, everything=True)
        database.engine.dispose()
    return count


@pytest.mark.parametrize("part", range(PARTS))
def test_a_sweep_deleted_at_any_moment_ends_no_worker(
    url: str, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    moments = served(url, monkeypatch, delete_before=None)
    assert moments > 50
    for moment in range(part, moments, 2 * PARTS):  # every other four of them
        served(url, monkeypatch, delete_before=moment)
