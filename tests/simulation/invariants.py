"""What must hold when everything has come to rest, whatever struck before."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from storage.errors import DatabaseGone
from sweep import paths
from sweep.training.contract import Decision
from tests.simulation.faults import FaultKind
from tests.simulation.schedule import SHAPES
from tests.simulation.trainings import DEVICE
from tests.simulation.world import How

if TYPE_CHECKING:
    from tests.simulation.simulator import Cast

_FINAL = ("complete", "pruned", "failed", "cancelled")
_AS_TOLD = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "cancelled": TrialState.FAIL,
}
_RAN_OUT = (FaultKind.AWAY, FaultKind.STEP, FaultKind.POWER, FaultKind.STOP, FaultKind.FULL)
"""Faults by which the lease of a worker that lives may run out."""

Row = dict[str, Any]


def violated(cast: "Cast", tables: "Tables") -> list[str]:
    """List the invariants that do not hold, the plainest first; each with what was found."""
    found = list(of_processes(cast))
    for sweep in tables.sweeps:
        found += _of_sweep(cast, tables, sweep)
        for slot in tables.of_sweep(sweep):
            found += _of_slot(cast, tables, sweep, slot)
    found += _of_optuna(cast, tables)
    found += [f"file without an owner: {file}" for file in _files_left(cast.runs)]
    return found


def of_processes(cast: "Cast") -> Iterator[str]:
    """No process ends with an exception that nobody expects."""
    for process in cast.world.processes:
        if process.how is How.RAISED and not isinstance(process.error, DatabaseGone):
            error = process.error
            yield f"process ended: {type(error).__name__}: {str(error)[:160]!r} ({process.name})"


class Tables:
    """All rows, read past the product."""

    def __init__(self, cast: "Cast") -> None:
        self._read = cast.server.records
        self.sweeps = self._read("SELECT * FROM sweeps ORDER BY id")
        self.stages = self._read("SELECT * FROM stages ORDER BY id")
        self.slots = self._read("SELECT * FROM slots ORDER BY id")
        self.attempts: dict[int, list[Row]] = defaultdict(list)
        for row in self._read("SELECT * FROM attempts ORDER BY slot_id, attempt"):
            self.attempts[row["slot_id"]].append(row)
        self.epochs: dict[int, list[Row]] = defaultdict(list)
        for row in self._read("SELECT * FROM epochs ORDER BY slot_id, epoch"):
            self.epochs[row["slot_id"]].append(row)
        self.workers = self._read("SELECT * FROM workers")

    def stages_of(self, sweep: Row) -> list[Row]:
        return [stage for stage in self.stages if stage["sweep_id"] == sweep["id"]]

    def of_sweep(self, sweep: Row) -> list[Row]:
        ids = {stage["id"] for stage in self.stages_of(sweep)}
        return [slot for slot in self.slots if slot["stage_id"] in ids]

    def stage_of(self, slot: Row) -> Row:
        return next(stage for stage in self.stages if stage["id"] == slot["stage_id"])


def _of_sweep(cast: "Cast", tables: Tables, sweep: Row) -> Iterator[str]:
    name, stages = sweep["name"], tables.stages_of(sweep)
    cancelled = [
        (at, told) for deed, at, told in cast.done if (deed.kind, deed.sweep) == ("cancel", name)
    ]
    if any(told == "done" for _, told in cancelled) and sweep["state"] != "cancelled":
        yield f"a cancelled sweep is {sweep['state']}"
    if sweep["state"] == "cancelled":
        before = cast.stages_at_cancel.get(name)
        if before is not None and (late := {stage["name"] for stage in stages} - before):
            yield f"a stage was added to a cancelled sweep: {sorted(late)}"
        return
    if sweep["state"] != "done":
        yield f"sweep {name} is {sweep['state']} at rest"
    for stage in stages:
        if stage["state"] != "done":
            yield f"stage {stage['study']} is {stage['state']} at rest"
    expected = len(next(s for s in SHAPES[cast.plan.shape].sweeps if s["name"] == name)) > 0
    if expected and not tables.of_sweep(sweep):
        yield f"sweep {name} lost its slots"


def _of_slot(cast: "Cast", tables: Tables, sweep: Row, slot: Row) -> Iterator[str]:
    name = f"slot {slot['id']} of {sweep['name']}"
    state, stage = slot["state"], tables.stage_of(slot)
    attempts, epochs = tables.attempts[slot["id"]], tables.epochs[slot["id"]]
    if state not in _FINAL:
        yield f"{state} at rest: {name}"
        return
    if slot["unprojected"]:
        yield f"Optuna was not told: {name}"
    yield from _of_attempts(cast, slot, attempts, name)
    yield from _of_epochs(slot, stage, epochs, name)
    yield from _of_decisions(cast, slot, epochs, name)
    if state == "complete":
        yield from _of_result(sweep, slot, epochs, name)
    elif state == "cancelled" and sweep["state"] != "cancelled":
        yield f"cancelled in a sweep that is {sweep['state']}: {name}"


def _of_attempts(cast: "Cast", slot: Row, attempts: list[Row], name: str) -> Iterator[str]:
    numbers = [row["attempt"] for row in attempts]
    if numbers != list(range(1, slot["attempt"] + 1)):
        yield f"attempts {numbers} of {slot['attempt']}: {name}"
    for row in attempts:
        if row["ending"] is None:
            yield f"an attempt without an ending: {name} attempt {row['attempt']}"
    marks = [row["attempt"] for row in attempts if row["ending"] == "retried"]
    since = [row["ending"] for row in attempts if row["attempt"] > max(marks, default=0)]
    ended = slot["failure_kind"] or slot["state"]
    never_begun = slot["state"] == "cancelled"  # it was queued
    if since[-1:] != [ended] and not never_begun:
        yield f"{slot['state']}, but its last attempt ended {since[-1:]}: {name}"
    if slot["state"] == "complete" and since.count("complete") != 1:
        yield f"completed {since.count('complete')} times: {name}"
    yield from _of_retries(cast, since, name)
    if not cast.faults.struck & set(_RAN_OUT):
        by_name = {_worker_id(p): p for p in cast.workers}
        for row in attempts:
            worker = by_name.get(row["worker"])
            if worker is None or worker.disturbed:
                continue
            if worker in cast.hurried and cast.faults.struck:
                continue  # it had to leave at once, while the database did not answer
            gave_up = row["attempt"] == slot["attempt"] and slot["failure_kind"] == "lost"
            if row["ending"] == "lost" and not gave_up:
                yield f"lost, though its worker lives: {name} attempt {row['attempt']}"
    for row in attempts:
        if row["ending"] == "crashed" and not _is_of_a_training(row["message"] or ""):
            yield f"booked on a trial: {row['message']!r}: {name}"


def _of_retries(cast: "Cast", endings: list[str], name: str) -> Iterator[str]:
    """No slot is tried more often than its sweep file allows."""
    sweep = next(s for s in SHAPES[cast.plan.shape].sweeps if s["name"] == name.rpartition(" ")[2])
    allowed = {"crashed": 0, "oom": 0, **sweep.get("retries", {})}
    for kind in ("crashed", "oom"):
        if endings.count(kind) > allowed[kind] + 1:
            yield f"tried again too often: {kind} {endings.count(kind)} times: {name}"


def _worker_id(process: Any) -> str:
    device = "cpu" if process.name.startswith("cpu") else "cuda:0"
    return f"{process.machine}-{process.pid}-{device}"


def _is_of_a_training(message: str) -> bool:
    words = ("as drawn", "the training process", "no space", "no sign of life")
    words += (
        "allowed is",
        "allowed are",
        "after the last",
        "reported were",
        "without a report",
        "told to go on",
    )
    return any(word in message for word in words) or "its training" in message


def _of_epochs(slot: Row, stage: Row, epochs: list[Row], name: str) -> Iterator[str]:
    numbers = [row["epoch"] for row in epochs]
    if slot["state"] == "complete":
        # A trainer may end earlier: it may see that more would bring nothing.
        epochs_of = json.loads(slot["result"] or "{}").get("epochs", stage["epochs"])
        if numbers != list(range(1, epochs_of + 1)):
            yield f"complete with epochs {numbers} of {epochs_of}: {name}"
    elif numbers != list(range(1, len(numbers) + 1)):
        yield f"epochs {numbers} have a gap: {name}"
    kinds = {json.loads(row["report"])["losses"][DEVICE] for row in epochs}
    if len(kinds) > 1:
        yield f"a curve of two kinds of device: {name}"


def _of_decisions(cast: "Cast", slot: Row, epochs: list[Row], name: str) -> Iterator[str]:
    stored = {row["epoch"]: row["decision"] for row in epochs}
    told = [
        told
        for told in cast.nursery.told
        if told.slot == slot["id"] and told.attempt == slot["attempt"] and told.held
    ]
    for one in told:
        given = "prune" if one.decision is Decision.PRUNE else "continue"
        kept = stored.get(one.epoch)
        if kept is not None and kept != given:
            yield f"told {given} after epoch {one.epoch}, stored {kept}: {name}"
    pruned = [row["epoch"] for row in epochs if row["decision"] == "prune"]
    if pruned and slot["state"] == "complete":
        yield f"complete, though pruned after epoch {pruned[0]}: {name}"
    if pruned and max(stored) > pruned[0]:
        yield f"went on after it was pruned in epoch {pruned[0]}: {name}"
    if slot["state"] == "pruned" and slot["failure_kind"] is None and not pruned:
        yield f"pruned without a decision: {name}"


def _of_result(sweep: Row, slot: Row, epochs: list[Row], name: str) -> Iterator[str]:
    objective = json.loads(sweep["spec"])["objective"]
    result = json.loads(slot["result"] or "{}")
    value = slot["value"]
    if value is None or not math.isfinite(value) or result.get(objective) is None:
        yield f"complete without a finite result: {name}"
        return
    if not math.isclose(value, result[objective]):
        yield f"its value is not its result's: {name}"
    best = max((row[objective] for row in epochs), default=None)
    if best is not None and not math.isclose(best, value, rel_tol=1e-6):
        yield f"its value {value} is not its best epoch's {best}: {name}"


def _of_optuna(cast: "Cast", tables: Tables) -> Iterator[str]:
    storage = cast.read_optuna()
    for sweep in tables.sweeps:
        objective = json.loads(sweep["spec"])["objective"]
        for stage in tables.stages_of(sweep):
            slots = [slot for slot in tables.slots if slot["stage_id"] == stage["id"]]
            trials = _trials(storage, stage["study"])
            yield from _of_study(stage["study"], slots, trials)
            yield from _of_numbers(tables, slots)
            for slot in slots:
                if slot["trial_id"] is not None and slot["state"] in _FINAL:
                    trial = trials.get(slot["trial_id"])
                    epochs = tables.epochs[slot["id"]]
                    yield from _of_trial(slot, trial, epochs, objective)


def _trials(storage: BaseStorage, study: str) -> dict[int, FrozenTrial]:
    try:
        study_id = storage.get_study_id_from_name(study)
    except KeyError:
        return {}
    return {trial._trial_id: trial for trial in storage.get_all_trials(study_id)}


def _of_study(study: str, slots: list[Row], trials: dict[int, FrozenTrial]) -> Iterator[str]:
    ours = {slot["trial_id"]: slot for slot in slots if slot["trial_id"] is not None}
    by_slot = {slot["id"]: slot for slot in slots}
    for trial_id, trial in trials.items():
        if not trial.state.is_finished():
            slot = by_slot.get(trial.user_attrs.get("slot"), {"state": "of nobody"})
            state = trial.state.name.lower()
            yield f"a trial is {state} at rest: {study} trial {trial.number}, slot {slot['state']}"
        elif trial_id not in ours and trial.state is not TrialState.FAIL:
            yield f"a trial without a slot is {trial.state.name}: {study} trial {trial.number}"
    made = Counter(
        trial.user_attrs.get("slot")
        for trial in trials.values()
        if trial.state is not TrialState.FAIL
    )
    for slot_id, count in made.items():
        if count > 1:
            yield f"{count} trials count for slot {slot_id} of {study}"


def _of_numbers(tables: Tables, slots: list[Row]) -> Iterator[str]:
    """Trials are numbered in the order of their slots, but those that took the place of others."""
    numbers = [
        slot["trial_number"]
        for slot in sorted(slots, key=lambda slot: slot["ordinal"])
        if slot["trial_number"] is not None
        and slot["epochs_from"] is None
        and all(attempt["ending"] != "retried" for attempt in tables.attempts[slot["id"]])
    ]
    if numbers != sorted(numbers):
        yield f"trials are not in the order of their slots: {numbers}"


def _of_trial(
    slot: Row, trial: FrozenTrial | None, epochs: list[Row], objective: str
) -> Iterator[str]:
    name = f"slot {slot['id']}"
    if trial is None:
        yield f"its trial is gone: {name}"
        return
    if trial.user_attrs.get("slot") != slot["id"] or trial.number != slot["trial_number"]:
        yield f"its trial is another's: {name}"
    if trial.state is not _AS_TOLD[slot["state"]]:
        yield f"{slot['state']}, in Optuna {trial.state.name}: {name}"
        return
    values = {row["epoch"]: row[objective] for row in epochs}
    if trial.intermediate_values.keys() != values.keys() or any(
        not math.isclose(value, values[epoch], rel_tol=1e-6)
        for epoch, value in trial.intermediate_values.items()
    ):
        yield f"epochs {values}, in Optuna {trial.intermediate_values}: {name}"
    if slot["state"] == "complete" and not math.isclose(trial.value or 0, slot["value"] or 0):
        yield f"value {slot['value']}, in Optuna {trial.value}: {name}"
    if slot["params"] is not None and trial.params.keys() != json.loads(slot["params"]).keys():
        yield f"settings {slot['params']}, in Optuna {trial.params}: {name}"


def _files_left(runs: Path) -> list[str]:
    """List the files below a folder that no trial that ended should leave there."""
    left = (paths.CHECKPOINT, paths.PREVIOUS_CHECKPOINT, paths.UNWRITTEN)
    return sorted(
        str(path.relative_to(runs))
        for path in runs.rglob("*")
        if path.name in left or path.suffix == ".part"
    )
