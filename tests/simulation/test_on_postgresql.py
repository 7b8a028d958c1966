"""Some schedules of the simulator on PostgreSQL, where transactions are open at the same time."""

import secrets
from collections.abc import Iterator

import pytest

from tests.simulation.schedule import draw
from tests.simulation.simulator import Simulator

pytestmark = pytest.mark.slow

NEW = 10


@pytest.fixture(scope="module")
def on_postgres() -> Iterator[Simulator]:
    with Simulator("postgresql") as simulator:
        yield simulator


def test_a_seed_is_the_same_schedule_whatever_was_before(
    on_postgres: Simulator,
) -> None:
    first = on_postgres.run(draw(3))
    assert on_postgres.broken_by(range(12)) == {}
    again = on_postgres.run(draw(3))
    assert first.log == again.log
    assert (first.moments, first.virtual_s) == (again.moments, again.virtual_s)


def test_no_invariant_breaks_in_new_schedules(on_postgres: Simulator) -> None:
    first = secrets.randbelow(2**40)
    assert on_postgres.broken_by(range(first, first + NEW)) == {}
