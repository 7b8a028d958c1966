"""What `status` and `watch` show of sweeps that a test puts into the database."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import update

from storage.database import Database
from storage.queue import commands, workers
from storage.queue.queue import Queue
from storage.snapshot.reader import read_summary, read_sweep
from storage.states import SlotState
from storage.tables import slots
from sweep.api.disk import disk_of_sweep
from sweep.api.status import by_score, served
from sweep.cli import tables
from sweep.files.disk_use import DiskUse
from sweep.testing import made_up_epoch
from sweep.training.contract import TrialResult
from sweep.worker.serialization import to_json
from tests.command import Command, run_here
from tests.contracts.test_queue import claimed

RATES = [0.1, 0.012345678, 0.001, 0.05]
SWEEP = {
    "name": "one",
    "trainer": "sweep.testing:instant_trainer",
    "search": {"epochs": 2, "space": {"lr0": RATES}},
    "retrain": {"epochs": 3, "baseline": {"lr0": 0.1}},
}


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")
    assert run_here("submit", Command(tmp_path).write("one.yaml", SWEEP)).code == 0
    return Database.open("sqlite:///sweep.db")


@pytest.fixture
def train(database: Database) -> Callable[[], float]:
    """Complete the next trial; returns its mAP50-95."""
    queue = Queue(database.engine)

    def complete() -> float:
        lease = claimed(queue)
        params = dict(lease.slot.params or {})
        number = lease.slot.ordinal
        queue.record_trial(lease, trial_id=100 + number, number=number, params=params)
        reports = [made_up_epoch(params, seed=0, epoch=epoch) for epoch in (1, 2)]
        for report in reports:
            scores = {"map50": report.map50, "map50_95": report.map50_95}
            queue.record_epoch(lease, epoch=report.epoch, **scores, report=to_json(report))
        result = TrialResult.from_epochs(reports, "map50_95")
        value = result.map50_95
        settled = queue.settle(lease, SlotState.COMPLETE, result=to_json(result), value=value)
        assert settled is not None
        queue.close(settled)
        return value

    return complete


def test_without_a_sweep_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_here("db", "upgrade").code == 0
    done = run_here("status")
    assert (done.code, done.out) == (
        0,
        "no sweep here yet; `sweep submit FILE` queues one, `sweep run FILE` runs it\n",
    )
    assert json.loads(run_here("status", "--json").out) == []


def test_a_row_a_sweep_has_its_priority_progress_and_rounded_best(
    database: Database, train: Callable[[], float]
) -> None:
    commands.set_priority(database.engine, "one", 7)
    value = max(train(), train())
    found = run_here("status").out
    (row,) = [line for line in found.splitlines() if line.startswith("│ one")]
    submitted = read_summary(database.engine, "one").created_at.astimezone()
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "one",
        "active, no worker",
        "7",
        f"{submitted:%Y-%m-%d %H:%M}",
        "search 2/4, retrain waiting",
        f"{value:.3f} mAP50-95",
        "",
        f"{Path('runs/one/sweep.yaml').stat().st_size} B",
    ]


def test_it_says_what_a_sweep_takes_on_the_disk(database: Database) -> None:
    (Path("runs/one") / "big").write_bytes(bytes(3_200_000))
    assert "its folder below the runs takes 3.2 MB" in run_here("status", "one").out
    found = json.loads(run_here("status", "one", "--json").out)
    assert found["disk_bytes"] == 3_200_000 + Path("runs/one/sweep.yaml").stat().st_size
    assert found["disk_complete"] is True


def test_counting_a_large_folder_is_not_waited_for(database: Database) -> None:
    assert disk_of_sweep(database.engine, "one", limit_s=-1.0) == DiskUse(complete=False)
    assert tables.disk(DiskUse(bytes=1_250_000_000, complete=False)) == "over 1.2 GB"


def test_settings_are_rounded_for_people_alone(
    database: Database, train: Callable[[], float]
) -> None:
    train(), train()
    assert "lr0=0.01235" in run_here("status", "one").out
    (stage, _) = json.loads(run_here("status", "one", "--json").out)["stages"]
    assert stage["best"]["params"] == {"lr0": 0.012345678}


def test_a_sweep_is_served_by_workers_at_it_and_by_idle_ones_it_has_nothing_for(
    database: Database,
) -> None:
    engine = database.engine
    assert not served(read_summary(engine, "one"))
    seen = {"host": "here", "device": "cpu"}
    workers.seen(engine, "idle", **seen, slot=None)
    assert not served(read_summary(engine, "one"))  # or it would have taken what is queued
    lease = claimed(Queue(engine))
    workers.seen(engine, "busy", **seen, slot=lease.slot.id)
    assert served(read_summary(engine, "one"))
    workers.gone(engine, "busy")
    with engine.begin() as connection:
        connection.execute(update(slots).values(state=SlotState.RUNNING))
    assert served(read_summary(engine, "one"))


def test_trials_are_sorted_by_score_and_the_rest_is_counted(
    database: Database, train: Callable[[], float]
) -> None:
    values = [train() for _ in range(3)]
    claimed(Queue(database.engine))
    trials = by_score(read_sweep(database.engine, "one"))
    assert [trial.map50_95 for trial in trials] == [*sorted(values, reverse=True), None]
    shown = run_here("status", "one", "--trials").out
    rows = [line for line in shown.splitlines() if "│ search" in line]
    assert [row.split("│")[3].strip() for row in rows] == [
        f"{value:.3f}" for value in sorted(values, reverse=True)
    ]
    assert "… 1 more have not begun" in shown
    found = json.loads(run_here("status", "one", "--trials", "--json").out)
    assert found["trials"][0]["params"]["lr0"] == RATES[1]
    assert (found["priority"], found["objective"], found["served"]) == (0, "map50_95", False)


def test_without_a_trial_or_a_name_there_is_a_line(database: Database) -> None:
    none = run_here("status", "one", "--trials")
    assert none.out == "one: no trial has begun; `sweep worker one` works on them\n"
    unnamed = run_here("status", "--trials")
    assert unnamed.code == 2
    assert unnamed.err == "sweep: --trials: name a sweep, as in `sweep status NAME --trials`\n"


def test_json_has_no_number_that_is_not_finite(
    database: Database, train: Callable[[], float]
) -> None:
    train()
    with database.engine.begin() as connection:
        connection.execute(
            update(slots).where(slots.c.ordinal == 1).values(params={"lr0": float("nan")})
        )

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    out = run_here("status", "one", "--trials", "--json").out
    found = json.loads(out, parse_constant=refuse)
    assert len(found["trials"]) == len(RATES) - 1
    (line,) = found["unreadable"]
    assert line == "row 2: slots.params: found '{\"lr0\": NaN}'"
    assert run_here("status", "one").out.count("Left out, because the database holds") == 1


def test_what_looks_like_markup_is_shown_as_it_is(database: Database) -> None:
    queue = Queue(database.engine)
    lease = claimed(queue)
    queue.record_trial(lease, trial_id=1, number=0, params={"lr0": 0.1})
    queue.fail(lease, "crashed", "[/red] {0} %s :smile: [bold]x[/bold]")
    for arguments in (("status", "one"), ("status", "one", "--trials")):
        done = run_here(*arguments)
        assert done.code == 0, done
        assert "[/red] {0} %s :smile: [bold]x[/bold]" in done.out


def test_watch_prints_lines_where_there_is_no_terminal(
    database: Database, train: Callable[[], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pass_time(_: float) -> None:
        if read_summary(database.engine, "one").stages[0].counts[SlotState.QUEUED]:
            train()
        else:
            commands.cancel(database.engine, "one")

    monkeypatch.setattr("sweep.cli.inspect.time.sleep", pass_time)
    watched = run_here("watch", "one")
    assert (watched.code, watched.err) == (0, "")
    lines = [line for line in watched.out.splitlines() if line.startswith("search")]
    assert [line.partition("  ")[0] for line in lines] == [
        f"search {number + 1}/4: trial {number} complete epoch 2/2" for number in range(4)
    ]
    assert "one: cancelled" in watched.out


def test_what_is_over_or_so_already_says_so(database: Database) -> None:
    for arguments, says in [
        (("resume", "one"), "one is active already"),
        (("pause", "one"), "one is paused; `sweep resume one` continues it"),
        (("pause", "one"), "one is paused already; `sweep resume one` continues it"),
        (("cancel", "one"), "one is cancelled; running trials end after their epoch"),
        (("cancel", "one"), "one is cancelled already; what is complete stays"),
    ]:
        assert run_here(*arguments).out == f"{says}\n"
    refused = run_here("pause", "one")
    assert refused.code == 2
    assert "is cancelled and cannot become paused" in refused.err
