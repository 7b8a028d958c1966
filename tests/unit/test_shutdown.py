"""How soon a process leaves that was told to, and what waits meanwhile."""

import os
import signal

import pytest

from storage import deadlines
from storage.errors import DatabaseGone
from sweep.launch.launched import leave_request
from sweep.worker.retry import Retry
from sweep.worker.shutdown import Shutdown


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shutdown(clock: Clock) -> Shutdown:
    heard = Shutdown(grace_s=30, clock=clock)
    heard.listen()
    return heard


def tell(number: int) -> None:
    os.kill(os.getpid(), number)


def test_after_sigterm_the_epoch_at_hand_has_so_long_and_no_longer(
    shutdown: Shutdown, clock: Clock
) -> None:
    assert (shutdown.requested, shutdown.left_s) == (False, None)
    tell(signal.SIGTERM)
    clock.now = 29
    assert (shutdown.requested, shutdown.at_once, shutdown.left_s) == (True, False, 1)
    clock.now = 30
    assert (shutdown.at_once, shutdown.left_s) == (True, 0)


def test_after_ctrl_c_it_has_as_long_as_it_needs(shutdown: Shutdown, clock: Clock) -> None:
    tell(signal.SIGINT)
    clock.now = 1e6
    assert (shutdown.requested, shutdown.at_once, shutdown.left_s) == (True, False, None)
    assert shutdown.by_hand


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_told_twice_it_leaves_at_once(shutdown: Shutdown, first: int, second: int) -> None:
    tell(first)
    tell(second)
    assert shutdown.at_once


def test_a_signal_to_all_of_a_job_is_no_second_one(shutdown: Shutdown, clock: Clock) -> None:
    tell(signal.SIGTERM)  # to the worker itself
    shutdown.ask(25)  # and to whoever started it, which passes it on
    assert not shutdown.at_once
    clock.now = 25
    assert shutdown.at_once


def test_asked_twice_it_leaves_at_once(shutdown: Shutdown) -> None:
    shutdown.ask(None)
    assert (shutdown.requested, shutdown.at_once, shutdown.by_hand) == (True, False, False)
    shutdown.ask(None)
    assert shutdown.at_once


def test_who_must_leave_at_once_hurries_its_database(shutdown: Shutdown, clock: Clock) -> None:
    tell(signal.SIGTERM)
    assert not deadlines.hurried()
    clock.now = 30
    assert deadlines.hurried()


def test_a_wait_for_the_database_ends_with_the_grace(shutdown: Shutdown, clock: Clock) -> None:
    calls = []

    def away() -> None:
        calls.append(clock.now)
        raise DatabaseGone("away")

    def sleep(seconds: float) -> None:
        clock.now += seconds

    tell(signal.SIGTERM)
    with pytest.raises(DatabaseGone):
        Retry(shutdown, sleep=sleep)(away)
    assert calls
    assert clock.now == pytest.approx(30, abs=0.3), "in the middle of a pause"


@pytest.mark.parametrize(("within_s", "said"), [(None, b"leave\n"), (2.5, b"leave 2.500\n")])
def test_what_a_launched_worker_is_told_is_a_line(within_s: float | None, said: bytes) -> None:
    assert leave_request(within_s) == said
