"""One row that somebody spoilt hides no other, and is told."""

import json

import pytest
from sqlalchemy import Engine, text

from storage.contents import fault_of_params, fault_of_report, fault_of_result
from storage.engine import writing
from storage.errors import RowUnreadable
from storage.process_identity import ProcessIdentity
from storage.queue import sweeps, workers
from storage.queue.queue import Queue
from storage.queue.stages import all_closed
from storage.snapshot.reader import read_epochs, read_summary, read_sweep
from storage.states import SlotState
from tests.submission import submit

ME = ProcessIdentity.current()
RESULT = {"map50": 0.5, "map50_95": 0.3}


@pytest.fixture
def storage_url(tmp_path: object) -> str:
    """SQLite, for it takes anything into any column."""
    return f"sqlite:///{tmp_path}/sweep.db"


@pytest.fixture
def queue(engine: Engine) -> Queue:
    submit(engine, budget=3)
    return Queue(engine)


def spoil(engine: Engine, sql: str) -> None:
    with writing(engine) as connection:
        connection.execute(text(sql))


@pytest.mark.parametrize(
    ("column", "value", "found"),
    [
        ("params", "'{broken'", "slots.params: found '{broken'"),
        ("params", "'{\"lr0\": NaN}'", "slots.params: found '{\"lr0\": NaN}'"),
        ("params", "'[1]'", "slots.params: found '[1]'"),
        ("label", "x'ff'", "slots.label: found b'\\xff'"),
        ("ordinal", "'first'", "slots.ordinal: found 'first'"),
        ("value", "9e999", "slots.value: found inf"),
        ("finished_at", "'today'", "slots.finished_at: found 'today'"),
        ("started_at", "1e300", "slots.started_at: found 1e+300"),
        ("message", "7", None),  # a text column takes the number as a text
    ],
)
def test_the_other_slots_are_claimed_and_shown(
    engine: Engine, queue: Queue, column: str, value: str, found: str | None
) -> None:
    spoil(engine, f"UPDATE slots SET {column} = {value} WHERE id = 1")
    record, summary = read_sweep(engine, "one"), read_summary(engine, "one")
    assert record.unreadable == (() if found is None else (f"row 1: {found}",))
    assert summary.unreadable == (), "a summary reads single slots only where something moves"
    expected = [1, 2, 3] if found is None else [2, 3]
    assert [slot.id for slot in record.stages[0].slots] == expected
    claimed = []
    for _ in expected:
        lease = queue.claim("worker", ME)
        assert lease is not None
        claimed.append(lease.slot.id)
    assert sorted(claimed) == expected
    if found is None:
        assert queue.claim("worker", ME) is None
        return
    for _ in range(2):
        with pytest.raises(RowUnreadable, match=r"^row 1: slots\."):
            queue.claim("worker", ME)
    spoil(engine, f"UPDATE slots SET {column} = NULL, ordinal = 0, params = '{{}}' WHERE id = 1"
          if column not in ("ordinal", "params")
          else "UPDATE slots SET ordinal = 0, params = '{}' WHERE id = 1")  # fmt: skip
    mended = queue.claim("worker", ME)
    assert mended is not None
    assert mended.slot.id == 1


@pytest.mark.parametrize("state", ["'zombie'", "x'00'", "7"])
def test_a_slot_of_no_known_state_holds_up_no_stage(
    engine: Engine, queue: Queue, state: str
) -> None:
    spoil(engine, f"UPDATE slots SET state = {state} WHERE id = 2")
    while (lease := queue.claim("worker", ME)) is not None:
        queue.close(queue.settle(lease, SlotState.COMPLETE, result=RESULT, value=0.3))
    (line,) = read_sweep(engine, "one").unreadable
    assert line.startswith("row 2: slots.state: found ")
    assert all_closed(engine, 1)


@pytest.mark.parametrize("lease", ["NULL", "'never'", "9e999", "1e17"])
@pytest.mark.parametrize("owner", ["NULL", "'x'", "'[]'", "'{\"pid\": 1}'", "x'ff'"])
def test_a_slot_with_a_lease_that_nobody_gave_is_taken_over(
    engine: Engine, lease: str, owner: str
) -> None:
    submit(engine, budget=1)
    now = [0.0]
    queue = Queue(engine, clock=lambda: now[0])
    assert queue.claim("one", ME) is not None
    spoil(engine, f"UPDATE slots SET lease_until = {lease}, owner = {owner}")
    if owner == "x'ff'":
        spoil(engine, "UPDATE slots SET owner = NULL")
    assert queue.claim("two", ME) is None, "it is seen twice before"
    now[0] += queue.renewal_s
    taken = queue.claim("two", ME)
    assert taken is not None
    assert (taken.slot.id, taken.attempt) == (1, 2)


def test_epochs_that_nobody_reported_are_left_out(engine: Engine, queue: Queue) -> None:
    lease = queue.claim("worker", ME)
    assert lease is not None
    for epoch in (1, 2):
        queue.record_epoch(lease, epoch=epoch, map50=0.5, map50_95=0.3, report={"seconds": 1.0})
    for epoch in (0, -1, 3):
        spoil(
            engine,
            "INSERT INTO epochs SELECT slot_id, "
            f"{epoch}, map50, map50_95, report, decision, recorded_at FROM epochs WHERE epoch = 1",
        )
    spoil(engine, 'UPDATE epochs SET report = \'{"seconds": "long"}\' WHERE epoch = 2')
    record = read_sweep(engine, "one")
    assert [found.epoch for found in record.stages[0].slots[0].epochs] == [1]
    assert [found.epoch for found in read_epochs(engine, lease.slot.id)] == [1]
    assert sorted(record.unreadable) == [
        "row 1, epoch -1: epochs.epoch: allowed is 1 to 2",
        "row 1, epoch 0: epochs.epoch: allowed is 1 to 2",
        "row 1, epoch 2: epochs.report: found 'long' as seconds",
        "row 1, epoch 3: epochs.epoch: allowed is 1 to 2",
    ]


@pytest.mark.parametrize("name", ["x'ff'", "CAST(x'61ff' AS TEXT)"])
def test_a_name_that_is_no_text_is_not_listed(engine: Engine, queue: Queue, name: str) -> None:
    submit(engine, "two")
    spoil(engine, f"UPDATE sweeps SET name = {name} WHERE name = 'one'")
    assert sweeps.names(engine) == ["two"]
    assert sweeps.active(engine) == ["two"]


@pytest.mark.parametrize(
    ("result", "fault"),
    [
        (None, "slots.result: found nothing, though it is complete"),
        ({}, "slots.result: found no map50"),
        ({"map50": 0.5, "map50_95": None}, "slots.result: found None as map50_95"),
        ({**RESULT, "best_epoch": "2"}, "slots.result: found '2' as best_epoch"),
        ({**RESULT, "effective": 3}, "slots.result: found 3 as effective"),
        ({**RESULT, "checkpoint": "a\0b"}, "slots.result: found 'a\\x00b' as checkpoint"),
        ({**RESULT, "per_class": [{"name": 1}]}, "slots.result: found [{'name': 1}] as per_class"),
        (RESULT, None),
    ],
)
def test_a_result_is_what_a_worker_wrote(result: dict[str, object], fault: str | None) -> None:
    assert fault_of_result(result) == fault


def test_settings_and_reports_are_what_a_worker_wrote() -> None:
    assert fault_of_params({"lr0": 0.1, "freeze": [0, 1], "name": None}) is None
    assert fault_of_params({"lr0": {}}) == "slots.params: found {} as 'lr0'"
    assert fault_of_params(json.loads('{"lr0": 1e999}')) == "slots.params: found inf as 'lr0'"
    assert fault_of_report({"losses": {"x": None}, "lr": {"y": 0.1}}) is None
    assert fault_of_report({"losses": [1]}) == "epochs.report: found [1] as losses"


def test_a_worker_whose_device_cannot_be_read_counts_as_none(engine: Engine) -> None:
    submit(engine, budget=1)
    queue = Queue(engine)
    lease = queue.claim("gpu", ME, device_kind="cuda")
    assert lease is not None
    queue.record_epoch(lease, epoch=1, map50=0.1, map50_95=0.1, report={"seconds": 1})
    queue.release(lease, "preempted")
    workers.seen(engine, "gpu", host="h", device="cuda:1", slot=None)
    assert queue.claim("cpu", ME, device_kind="cpu") is None, "it waits for the other one"
    spoil(engine, "UPDATE workers SET device = x'ff00fe'")
    again = queue.claim("cpu", ME, device_kind="cpu")
    assert again is not None
    assert again.anew
