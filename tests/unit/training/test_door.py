"""What a training says comes in through one door, whatever it says: plain, finite, in order."""

import json
import math
import os
import socket
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, replace
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.training.contract import (
    ClassMetrics,
    Decision,
    EpochReport,
    FailureKind,
    TrainingBroken,
    TrainingFailed,
    TrialJob,
    TrialResult,
)
from sweep.training.process import plain, wire
from sweep.training.process.child import ChildProcess
from sweep.training.process.door import RAISED, Door
from sweep.training.process.messages import (
    Alive,
    Completed,
    EpochDone,
    Failed,
    Message,
    Stopped,
    Unable,
)
from sweep.worker.serialization import to_json

EPOCHS = 3


def job(*, goes_on: bool = False) -> TrialJob:
    return TrialJob(
        sweep="s",
        slot=1,
        attempt=1,
        params={},
        settings={},
        epochs=EPOCHS,
        dataset=None,
        run_folder=Path("run"),
        earlier=(Path("earlier"),) if goes_on else (),
        model="none",
    )


def report(epoch: Any = 1, **changes: Any) -> EpochReport:
    values: dict[str, Any] = dict.fromkeys(("map50", "map50_95", "precision", "recall"), 0.5)
    values |= {"losses": {"train/box_loss": 1.5}, "lr": {"lr/pg0": 0.01}, "seconds": 2.0}
    return EpochReport(epoch=epoch, **values | changes)


def result(**changes: Any) -> TrialResult:
    reports = [report(epoch + 1) for epoch in range(EPOCHS)]
    return replace(TrialResult.from_epochs(reports, "map50"), **changes)


def after_all_epochs() -> Door:
    door = Door(job())
    for epoch in range(EPOCHS):
        door.report(report(epoch + 1))
    return door


class Rude:
    """A value of a library that nobody knows, and whose every method fails."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    __float__ = __str__ = __repr__  # type: ignore[assignment]


class Colour(Enum):
    RED = "red"


class Numbers(float):
    """A float of a class of its own, as NumPy's float64 is."""


SAME = [
    *(0.25, Numbers(0.25), np.float64(0.25), np.float32(0.25), np.float16(0.25)),
    *(np.array(0.25), np.array([0.25]), Decimal("0.25"), Fraction(1, 4)),
]


@pytest.mark.parametrize("value", SAME, ids=lambda value: type(value).__name__)
def test_a_number_of_any_library_is_a_float(value: Any) -> None:
    found = Door(job()).report(report(map50=value, losses={"x": value}, lr={"y": value}))
    assert [type(one) for one in (found.map50, *found.losses.values())] == [float, float]
    assert (found.map50, found.losses, found.lr) == (0.25, {"x": 0.25}, {"y": 0.25})


@pytest.mark.parametrize(
    "value",
    [True, np.True_, "0.5", b"1", None, 1j, [0.5], {}, np.array([1.0, 2.0]), 10**400, Rude()],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_number_is_told_with_the_field(value: Any) -> None:
    with pytest.raises(TrainingBroken, match=r"^epoch 1: map50_95: found .*; allowed is a number"):
        Door(job()).report(report(map50_95=value))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
@pytest.mark.parametrize("field", ["map50", "map50_95", "precision", "recall"])
def test_a_measure_that_is_not_finite_is_a_divergence(field: str, value: float) -> None:
    for told, give in (
        (f"epoch 1: {field}", lambda: Door(job()).report(report(**{field: value}))),
        (f"result: {field}", lambda: after_all_epochs().result(result(**{field: value}))),
    ):
        with pytest.raises(TrainingFailed, match=rf"^{told} is (nan|-?inf), not finite") as raised:
            give()
        assert raised.value.kind is FailureKind.DIVERGED


def test_a_loss_that_is_not_finite_is_unknown_and_a_clock_that_went_back_is_zero() -> None:
    found = Door(job()).report(report(losses={"x": math.nan}, seconds=-5.0))
    assert to_json(found)["losses"] == {"x": None}
    assert found.seconds == 0.0


@pytest.mark.parametrize(
    ("epochs", "goes_on", "wrong"),
    [
        ([2], False, "found 2 (int); allowed is 1"),
        ([0], True, "found 0 (int); allowed is 1 to 3"),
        ([4], True, "found 4 (int); allowed is 1 to 3"),
        ([1, 1], False, "found 1 (int); allowed is 2"),
        ([1, 3], False, "found 3 (int); allowed is 2"),
        ([1.5], False, "found 1.5 (float); allowed is 1"),
        ([True], False, "found True (bool); allowed is a number"),
        ([math.nan], False, "found nan (float); allowed is 1"),
        ([1, 2, 3, 4], False, "found 4 (int) after the last, 3"),
    ],
)
def test_epochs_come_one_after_the_other(epochs: list[Any], goes_on: bool, wrong: str) -> None:
    door = Door(job(goes_on=goes_on))
    for epoch in epochs[:-1]:
        door.report(report(epoch))
    with pytest.raises(TrainingBroken) as raised:
        door.report(report(epochs[-1]))
    assert wrong in str(raised.value)


def test_a_training_that_goes_on_begins_later() -> None:
    door = Door(job(goes_on=True))
    assert [door.report(report(np.int64(epoch))).epoch for epoch in (2, 3)] == [2, 3]
    assert door.result(result()).epochs == EPOCHS


def test_one_that_was_at_its_end_before_reports_no_epoch() -> None:
    assert Door(job(goes_on=True)).result(result()).epochs == EPOCHS


def test_a_trainer_that_ended_early_says_so() -> None:
    door = Door(job())
    door.report(report(1))
    assert door.result(result(epochs=1, best_epoch=1)).epochs == 1


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"epochs": 2}, "result: epochs: found 2 (int); allowed is 3"),
        ({"best_epoch": 4}, "result: best_epoch: found 4 (int); allowed is 1 to 3"),
        ({"best_epoch": 0}, "result: best_epoch: found 0 (int); allowed is 1 to 3"),
        ({"images_loaded": -1}, "result: images_loaded: found -1 (int); allowed is a whole"),
        ({"images_loaded": 2**63}, "result: images_loaded: found"),
        ({"effective": {"x": len}}, "result: effective.x: found <built-in function len>"),
        ({"effective": {1: 2}}, "result: effective: found the name 1 (int); names are text"),
        ({"effective": {"x" * 101: 2}}, "a name of 101 characters; allowed are 1 to 100"),
        ({"effective": [1]}, "result: effective: found [1] (list); allowed is a mapping"),
        ({"effective": {"x": [[[[[1]]]]]}}, "found more than 4 lists in one another"),
        ({"per_class": 3}, "result: per_class: found 3 (int)"),
        ({"per_class": (0.5,)}, "result: per_class[0]: found 0.5 (float); allowed is ClassMetrics"),
        ({"checkpoint": "a\0b"}, "result: checkpoint: found"),
        ({"checkpoint": Path("\udcff.pt")}, r"result: checkpoint: found '\udcff.pt' (str), which"),
        ({"evaluation": 3}, "result: evaluation: found 3 (int); allowed is a path or None"),
    ],
)
def test_a_result_that_breaks_the_contract_is_told(changes: dict[str, Any], wrong: str) -> None:
    with pytest.raises(TrainingBroken) as raised:
        after_all_epochs().result(result(**changes))
    assert wrong in str(raised.value)


def test_a_result_without_epochs_is_told() -> None:
    with pytest.raises(TrainingBroken, match="without a report of an epoch"):
        Door(job()).result(result())


def test_what_json_can_hold_is_kept() -> None:
    effective = {
        "lr0": np.float32(0.25),
        "betas": (0.9, np.float64(0.5)),
        "freeze": np.arange(3),
        "path": Path("a/b"),
        "colour": Colour.RED,
        "on": np.True_,
        "nothing": None,
        "lost": math.nan,
        "more": {"name": "caf\udce9\0", "large": 2**62},
    }
    assert after_all_epochs().result(result(effective=effective)).effective == {
        "lr0": 0.25,
        "betas": [0.9, 0.5],
        "freeze": [0, 1, 2],
        "path": "a/b",
        "colour": "red",
        "on": True,
        "nothing": None,
        "lost": None,
        "more": {"name": r"caf\udce9\x00", "large": 2**62},
    }


@settings(derandomize=True)
@given(st.text(st.characters(), max_size=300))
def test_any_text_becomes_a_line_that_a_database_takes(given_text: str) -> None:
    line = plain.text(given_text, 100)
    assert line.splitlines() in ([line], [])
    assert "\0" not in line
    with sqlite3.connect(":memory:") as database:
        assert database.execute("SELECT ?", (line,)).fetchone() == (line,)
    assert plain.text(line, 10_000) == line


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=20),
    st.binary(max_size=5),
    st.decimals(),
    st.fractions(),
    st.floats(width=32).map(np.float32),
    st.integers(-9, 9).map(np.int8),
    st.lists(st.floats(), max_size=3).map(np.array),
    st.builds(Rude),
    st.builds(lambda: 10**4000),
    st.sampled_from([Colour.RED, Path("x"), object(), len, 1j, {1}, np.True_]),
)
"""What children send, in place of what they should."""
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner),
        st.dictionaries(
            st.one_of(st.text(st.characters(), max_size=5), st.integers()), inner, max_size=3
        ),
    ),
    max_leaves=6,
)
MAPPINGS = st.dictionaries(st.text(st.characters(), max_size=120), ANYTHING, max_size=3)


@st.composite
def spoilt(draw: st.DrawFn, good: Any) -> Any:
    """Draw a dataclass with some of its fields spoilt, or anything else in its place."""
    if draw(st.integers(0, 9)) == 0:
        return draw(ANYTHING)
    names = st.sampled_from(sorted(asdict(good)))
    changes = draw(st.dictionaries(names, st.one_of(ANYTHING, MAPPINGS), max_size=2))
    return replace(good, **changes)


def through(door: Door, message: Message) -> Message:
    """Send a message as a child does and receive it as its supervisor does."""
    return wire.decode(wire.encode(message), door)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(spoilt(report()))
def test_a_report_is_refused_or_comes_through_whole(found: Any) -> None:
    try:
        come = Door(job()).report(found)
    except TrainingFailed as failed:
        assert failed.kind is FailureKind.DIVERGED
        return
    except TrainingBroken as broken:
        assert str(broken) == plain.text(str(broken))
        return
    assert (come.epoch, type(come.epoch)) == (1, int)
    assert all(math.isfinite(x) for x in (come.map50, come.map50_95, come.precision, come.recall))
    received = through(Door(job()), EpochDone(come))
    assert isinstance(received, EpochDone)
    assert to_json(received.report) == to_json(come)
    json.dumps(to_json(come), allow_nan=False).encode()


METRICS = ClassMetrics(name="glass", ap50=0.5, ap=0.25)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(spoilt(result(per_class=(METRICS,))), st.lists(spoilt(METRICS), max_size=2), st.booleans())
def test_a_result_is_refused_or_comes_through_whole(
    found: Any, per_class: list[Any], instead: bool
) -> None:
    if instead and isinstance(found, TrialResult):
        found = replace(found, per_class=tuple(per_class))
    try:
        come = after_all_epochs().result(found)
    except TrainingFailed as failed:
        assert failed.kind is FailureKind.DIVERGED
        return
    except TrainingBroken as broken:
        assert str(broken) == plain.text(str(broken))
        return
    received = through(after_all_epochs(), Completed(come))
    assert isinstance(received, Completed)
    assert to_json(received.result) == to_json(come)
    json.dumps(to_json(come), allow_nan=False).encode()


@settings(derandomize=True)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=99).map(str.encode)))
def test_a_line_that_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(TrainingBroken, match="wrote into its supervisor's pipe"):
        wire.decode(line, Door(job()))


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from([Alive(), EpochDone(report()), Completed(result())])
    | st.sampled_from([Stopped(Decision.STOP), Failed(FailureKind.OOM, "x"), Unable("x")]),
    st.dictionaries(
        st.sampled_from(["is", "report", "result", "decision", "kind", "message"]), JSON, max_size=2
    ),
)
def test_a_forged_message_is_refused_or_a_message(
    message: Message, changes: dict[str, Any]
) -> None:
    forged = {**json.loads(wire.encode(message)), **changes}
    try:
        found = wire.decode(json.dumps(forged).encode(), after_all_epochs())
    except (TrainingBroken, TrainingFailed):
        return
    if isinstance(found, Failed):
        assert found.kind in RAISED


def test_a_message_of_any_depth_is_refused() -> None:
    with pytest.raises(TrainingBroken):
        wire.decode(b"[" * 100_000, Door(job()))


def test_a_result_that_is_too_long_is_told() -> None:
    effective = {f"x{n}": "y" * 2_000 for n in range(3_000)}
    with pytest.raises(TrainingBroken, match=r"takes \d+ bytes; allowed are 4000000"):
        wire.encode(Completed(result(effective=effective)))


class Pipe:
    """A child as its supervisor sees it, of which a test writes the bytes."""

    def __init__(self) -> None:
        self.theirs, ours = socket.socketpair()
        self.killed = False
        self._ended, self._end = os.pipe()
        process: Any = SimpleNamespace(
            pid=1, sentinel=self._ended, kill=self._kill, join=lambda _: None, exitcode=None
        )
        connection: Any = SimpleNamespace(fileno=ours.fileno, close=ours.close, send=lambda _: None)
        self.process = process
        self.child = ChildProcess(job(), process, connection)

    def _kill(self) -> None:
        self.killed = True
        self.process.exitcode = -9

    def close(self) -> None:
        self.theirs.close()
        os.close(self._end)
        os.close(self._ended)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.child.kill()
    made.close()


def test_messages_are_put_together_from_pieces(pipe: Pipe) -> None:
    sent = wire.encode(Alive()) + wire.encode(EpochDone(report())) + wire.encode(Alive())
    found: list[Message | None] = []
    for byte in sent:
        pipe.theirs.sendall(bytes([byte]))
        if (message := pipe.child.receive(0)) is not None:
            found.append(message)
    assert found == [Alive(), EpochDone(report()), Alive()]


def test_several_messages_at_once_come_one_by_one(pipe: Pipe) -> None:
    pipe.theirs.sendall(wire.encode(Alive()) * 2 + wire.encode(Alive())[:-1])
    assert [pipe.child.receive(0) for _ in range(3)] == [Alive(), Alive(), None]


def test_half_a_message_holds_nobody_and_is_no_sign_of_life(pipe: Pipe) -> None:
    pipe.theirs.sendall(wire.encode(EpochDone(report()))[:-1])
    assert pipe.child.receive(0.01) is None
    before = pipe.child.silent_s
    assert before > 0
    assert pipe.child.receive(0.01) is None
    assert pipe.child.silent_s > before
    pipe.process.exitcode = 3
    pipe.theirs.close()
    assert pipe.child.receive(0) == Failed(
        FailureKind.CRASHED, "the training process ended with exit code 3"
    )


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"epoch 1: 3.2 s\n", "wrote into its supervisor's pipe: epoch 1: 3.2 s"),
        (b"\x80\x05N.\n", r"pipe: \x80\x05N."),
        (b"x" * (wire.LONGEST_LINE + 1), "pipe: xxx"),
        (wire.encode(EpochDone(report(2))), "epoch: found 2 (int); allowed is 1"),
        (wire.encode(Completed(result())), "without a report of an epoch"),
        (wire.encode(Stopped(Decision.STOP)), "stopped with stop, told was continue"),
    ],
)
def test_a_process_that_says_what_it_may_not_is_ended(pipe: Pipe, sent: bytes, told: str) -> None:
    pipe.theirs.settimeout(0)
    found, rest = None, memoryview(sent)
    while found is None:  # a long one is written while it is read
        if rest:
            rest = rest[pipe.theirs.send(rest[:65_536]) :]
        found = pipe.child.receive(0)
    assert isinstance(found, Failed)
    assert found.kind is FailureKind.CRASHED
    assert told in found.message
    assert pipe.killed


def test_a_measure_that_is_not_finite_ends_the_process(pipe: Pipe) -> None:
    pipe.theirs.sendall(wire.encode(EpochDone(report(map50=math.nan))))
    found = pipe.child.receive(0)
    assert found == Failed(FailureKind.DIVERGED, "epoch 1: map50 is nan, not finite: diverged")
    assert pipe.killed


@pytest.mark.parametrize("decision", [Decision.PRUNE, Decision.STOP])
def test_whoever_reports_after_being_told_to_stop_has_stopped(
    pipe: Pipe, decision: Decision
) -> None:
    pipe.theirs.sendall(wire.encode(EpochDone(report())) + wire.encode(EpochDone(report(2))))
    assert isinstance(pipe.child.receive(0), EpochDone)
    pipe.child.answer(decision)
    assert pipe.child.receive(0) == Stopped(decision)
    assert pipe.killed
