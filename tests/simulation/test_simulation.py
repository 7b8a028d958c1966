"""Some schedules of the simulator: each is the same every time, and no invariant breaks in any."""

from collections.abc import Iterator

import pytest

from tests.simulation.schedule import draw
from tests.simulation.simulator import Simulator


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.mark.parametrize("seed", [1, 16, 23])
def test_a_seed_is_the_same_schedule_each_time(simulator: Simulator, seed: int) -> None:
    first, again = (simulator.run(draw(seed)) for _ in range(2))
    assert first.log == again.log
    assert first.moments == again.moments
    assert first.virtual_s == again.virtual_s


def test_the_seeds_differ(simulator: Simulator) -> None:
    assert len({simulator.run(draw(seed)).log for seed in range(5)}) == 5


def test_no_invariant_breaks(simulator: Simulator) -> None:
    broken = {seed: simulator.run(draw(seed)).violations for seed in range(60)}
    assert {seed: violations for seed, violations in broken.items() if violations} == {}
