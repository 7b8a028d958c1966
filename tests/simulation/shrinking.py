"""The fewest faults and deeds with which a schedule still breaks the same invariant."""

import re
from dataclasses import replace
from typing import TypeVar

from tests.simulation.schedule import Plan
from tests.simulation.simulator import Ending, Simulator
from tests.simulation.tempers import Temper

Thing = TypeVar("Thing")


def kind_of(violation: str) -> str:
    """Return what an invariant says, without the names and numbers of those that broke it."""
    return re.sub(r"\d+(\.\d+)?", "N", violation.partition(": slot")[0])[:80]


def shrunk(simulator: Simulator, ending: Ending) -> Ending:
    """Drop faults, deeds, workers and tempers, one after the other, as long as it fails alike."""
    wanted = kind_of(ending.violations[0])
    smallest, going_on = ending, True
    while going_on:
        going_on = False
        for plan in _smaller(smallest.plan):
            tried = simulator.run(plan)
            if any(kind_of(violation) == wanted for violation in tried.violations):
                smallest, going_on = tried, True
                break
    return smallest


def _smaller(plan: Plan) -> list[Plan]:
    """List the plans that lack one thing of this one."""
    found = [replace(plan, faults=fewer) for fewer in _without_one(plan.faults)]
    found += [replace(plan, deeds=fewer) for fewer in _without_one(plan.deeds)]
    if len(plan.devices) > 1:
        found += [replace(plan, devices=fewer) for fewer in _without_one(plan.devices)]
    if set(plan.tempers) != {Temper.GOOD}:
        found.append(replace(plan, tempers=(Temper.GOOD,)))
    if plan.machines > 1:
        found.append(replace(plan, machines=1))
    return found


def _without_one(things: tuple[Thing, ...]) -> list[tuple[Thing, ...]]:
    return [things[:place] + things[place + 1 :] for place in range(len(things))]
