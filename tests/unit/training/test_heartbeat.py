"""What a training process knows of whether its training moves on."""

import pytest

from sweep.training.process import heartbeat
from sweep.training.process.heartbeat import Pulse, pulse, tick, untracked, waiting


@pytest.fixture(autouse=True)
def new(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ticks", "seen", "untracked", "waiting"):
        monkeypatch.setattr(heartbeat._Counter, name, 0)


def test_before_the_first_batch_nobody_sees_whether_it_moves() -> None:
    assert [pulse(), pulse()] == [Pulse.UNSEEN] * 2


def test_from_the_first_batch_on_it_moves_while_batches_come() -> None:
    tick()
    assert [pulse(), pulse()] == [Pulse.MOVED, Pulse.STILL]
    tick()
    assert pulse() is Pulse.MOVED


def test_in_work_that_cannot_tick_nobody_sees_it_either() -> None:
    tick()
    with untracked():
        assert [pulse(), pulse()] == [Pulse.UNSEEN] * 2
    assert [pulse(), pulse()] == [Pulse.MOVED, Pulse.STILL]


def test_who_waits_for_the_supervisor_is_not_to_blame() -> None:
    tick()
    with waiting():
        assert [pulse(), pulse()] == [Pulse.MOVED] * 2
    assert [pulse(), pulse()] == [Pulse.MOVED, Pulse.STILL]


def test_a_trainer_that_never_ticks_is_not_expected_to_after_an_epoch() -> None:
    with waiting():
        assert pulse() is Pulse.MOVED
    assert [pulse(), pulse(), pulse()] == [Pulse.UNSEEN] * 3


def test_the_place_is_where_the_main_thread_is() -> None:
    assert "test_the_place_is_where_the_main_thread_is (test_heartbeat.py:" in heartbeat.place()
