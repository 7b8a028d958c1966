"""What a sweep comes to, whoever worked on it and whatever struck them.

Grid and random search without a pruner have the same outcome however many workers there are, in
whatever order they take turns, and whichever of them die.
"""

import json
from dataclasses import replace
from typing import Any

from tests.simulation.invariants import Row, Tables
from tests.simulation.schedule import SHAPES, Plan
from tests.simulation.tempers import Temper

_HARMLESS = {"come", "leave", "leave at once", "look", "priority", "pause", "resume"}
"""Deeds that change nothing of what a sweep comes to."""


def is_settled_by(plan: Plan) -> bool:
    """Whether the outcome of a plan is that of its sweeps alone."""
    searches = [sweep["search"] for sweep in SHAPES[plan.shape].sweeps]
    return (
        set(plan.tempers) == {Temper.GOOD}
        and len(set(plan.devices)) == 1
        and {deed.kind for deed in plan.deeds} <= _HARMLESS
        and all(search.get("sampler") != "tpe" and "pruner" not in search for search in searches)
    )


def calm(plan: Plan) -> Plan:
    """Return a plan for the same sweeps with one worker and no trouble."""
    return replace(
        plan,
        seed=0,
        devices=plan.devices[:1],
        machines=1,
        faults=(),
        deeds=(),
        pace=0.0,
        idle_s=(30.0, 30.0),
        real_optuna=False,
    )


def outcome(tables: Tables) -> list[Any]:
    """Return what is stored of all sweeps, but for times, hosts, attempts and Optuna's ids."""
    return [
        [sweep["name"], sweep["state"]]
        + [
            [stage["name"], stage["state"], stage["position"]]
            + [_of_slot(tables, slot) for slot in tables.slots if slot["stage_id"] == stage["id"]]
            for stage in tables.stages_of(sweep)
        ]
        for sweep in tables.sweeps
    ]


def _of_slot(tables: Tables, slot: Row) -> list[Any]:
    names = ("ordinal", "label", "params", "state", "trial_number", "failure_kind", "value")
    epochs = [
        [epoch["epoch"], epoch["map50"], epoch["map50_95"], epoch["decision"]]
        for epoch in tables.epochs[slot["id"]]
    ]
    result = {
        name: value
        for name, value in json.loads(slot["result"] or "{}").items()
        if name not in ("seconds", "weights", "evaluation")
    }
    return [*(slot[name] for name in names), json.dumps(result, sort_keys=True), epochs]


def differences(tables: Tables, expected: list[Any]) -> list[str]:
    """Tell where an outcome is not the one that was expected; of failures nothing is expected."""
    if any(slot["state"] == "failed" for slot in tables.slots):  # too many workers were lost
        return []
    found = outcome(tables)
    if found == expected:
        return []
    return [f"another outcome than with one worker: {found} instead of {expected}"]
