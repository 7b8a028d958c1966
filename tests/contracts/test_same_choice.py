"""What a sampler chooses and a pruner decides follows from the study, not from the process."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState, create_trial

from storage.database import Database
from storage.optuna.studies import Studies
from sweep.search.pruners import PRUNERS
from sweep.search.samplers import SAMPLERS, planned_points, sampler_for, suggest
from sweep.spec.sweep_file import PrunerName, SamplerName, Search
from sweep.testing import made_up_epoch

EPOCHS = 9
TRIALS = 40
"""Of other workers: more than the samplers begin at random with, in every bracket."""
STUDY = "one/search"


def search(sampler: SamplerName) -> Search:
    space = {"lr0": {"low": 0.001, "high": 0.1, "log": True}, "momentum": {"low": 0.1, "high": 0.9}}
    grid = {"lr0": [0.1, 0.01], "momentum": [0.1, 0.9]}
    return Search.model_validate(
        {"epochs": EPOCHS, "sampler": sampler, "seed": 3}
        | ({"space": grid} if sampler == "grid" else {"space": space, "trials": TRIALS})
    )


def opened(file: Path) -> Studies:
    """Open a database as a process does that has done nothing yet."""
    return Database.open(f"sqlite:///{file}").studies


def ask(
    studies: Studies, asked: Search, pruner: PrunerName, slot: int
) -> tuple[int, int, Mapping[str, Any]]:
    return studies.start_trial(
        STUDY,
        slot=slot,
        known=None,
        begun_before=False,
        params=None,
        distributions={},
        suggest=lambda trial: suggest(trial, asked.space),
        sampler=sampler_for(asked, slot),
        pruner=PRUNERS[pruner](EPOCHS),
    )


def decide(studies: Studies, trial_id: int, pruner: PrunerName) -> bool:
    return studies.should_prune(STUDY, trial_id, PRUNERS[pruner](EPOCHS))


def begin(studies: Studies, asked: Search, pruner: PrunerName, slot: int) -> int:
    """Begin a trial and ask about its first epoch; return its id."""
    trial_id, _, params = ask(studies, asked, pruner, slot)
    value = made_up_epoch(params, seed=slot, epoch=1).map50_95
    studies.report(trial_id, epoch=1, value=value)
    decide(studies, trial_id, pruner)
    return trial_id


def add_finished(file: Path, asked: Search) -> None:
    """Add trials that other processes have trained; every fourth was pruned."""
    study = optuna.load_study(
        study_name=STUDY, storage=f"sqlite:///{file}", sampler=RandomSampler(seed=1)
    )
    drawn = optuna.create_study(sampler=RandomSampler(seed=1))
    legal = {name: parameter.distribution() for name, parameter in asked.space.items()}
    for number in range(TRIALS):
        params = suggest(drawn.ask(), asked.space)
        epochs = 2 if number % 4 == 0 else EPOCHS
        values = {
            epoch: made_up_epoch(params, seed=number, epoch=epoch).map50_95
            for epoch in range(1, epochs + 1)
        }
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if epochs == EPOCHS else TrialState.PRUNED,
                params=params,
                distributions=legal,
                value=values[epochs],
                intermediate_values=values,
            )
        )


Before = Callable[[Studies, Search, PrunerName], object]
BEFORE: dict[str, Before] = {
    "asked the sampler": lambda studies, asked, pruner: ask(studies, asked, pruner, 900),
    "asked both": lambda studies, asked, pruner: begin(studies, asked, pruner, 900),
}
ASKED = [name for name, sampler in SAMPLERS.items() if sampler.points is None]
DRAWN = [name for name, sampler in SAMPLERS.items() if sampler.points is not None]


def copied(file: Path) -> Path:
    """Copy a database as it is now."""
    copy = file.with_name("copy.db")
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


@pytest.mark.slow
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("pruner", PRUNERS)
@pytest.mark.parametrize("sampler", ASKED)
def test_it_makes_no_difference_what_a_process_did_before(
    sampler: SamplerName, pruner: PrunerName, before: str, tmp_path: Path
) -> None:
    asked, file = search(sampler), tmp_path / "sweep.db"
    old = opened(file)
    old.ensure(STUDY, metric="map50_95", attributes={})
    BEFORE[before](old, asked, pruner)
    add_finished(file, asked)
    running = begin(opened(file), asked, pruner, TRIALS)
    new = opened(copied(file))
    (_, _, chosen), (_, _, expected) = (ask(one, asked, pruner, 901) for one in (old, new))
    assert chosen == expected
    assert decide(old, running, pruner) == decide(new, running, pruner)


@pytest.mark.parametrize("sampler", DRAWN)
def test_what_is_drawn_at_submit_is_drawn_alike(sampler: SamplerName) -> None:
    asked = search(sampler)
    assert planned_points(asked) == planned_points(search(sampler))
