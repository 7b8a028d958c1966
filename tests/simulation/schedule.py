"""One seed draws a whole schedule: the sweeps, the workers, what goes wrong, what users do."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.simulation.faults import Deed, Fault, FaultKind
from tests.simulation.tempers import STRANGE, Temper

_FAULTS = (
    *([FaultKind.KILL] * 6),
    *([FaultKind.UNHEARD] * 6),
    *([FaultKind.LOST] * 4),
    *([FaultKind.STOP] * 3),
    *([FaultKind.AWAY] * 3),
    *(FaultKind.STEP, FaultKind.FULL, FaultKind.POWER),
)
_DEEDS = (
    *(["cancel"] * 3),
    *(["pause", "resume"] * 2),
    *(["leave"] * 4),
    *(["leave at once"] * 2),
    *(["come"] * 3),
    *(["retrain"] * 2),
    *("retry", "retry", "priority", "look", "delete"),
)
_BAD = (Temper.CRASH, Temper.DIES, Temper.OOM, Temper.DIVERGED, Temper.HANGS, Temper.NAN_EPOCH)
_AIMS = (
    "UPDATE slots",
    "UPDATE epochs",
    "UPDATE stages",
    "UPDATE sweeps",
    "UPDATE attempts",
    "INSERT INTO attempts",
    "INSERT INTO epochs",
    "INSERT INTO slots",
    "INSERT INTO workers",
    "create_new_study",
    "create_new_trial",
    "set_study_user_attr",
    "set_trial_state_values",
    "set_trial_intermediate_value",
)
"""What transactions do; half of the faults and deeds are aimed at one of these, so that steps that
are rare are not missed."""
_AMID = ("UPDATE stages", "UPDATE sweeps", "UPDATE slots", "INSERT INTO epochs")
"""Amid what a process is stopped while a user does something."""
_FAULTS_EACH = (0, 1, 1, 2, 2, 3, 4)
REAL_OPTUNA_OF = 16
"""One of so many schedules has Optuna's own tables."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What sweeps are asked for; schedules of the same shape begin with the same database."""

    sweeps: tuple[Mapping[str, Any], ...]
    """Their sweep files."""
    moments: int
    """Faults are drawn among so many moments; they have about as many."""
    weight: int
    """How often it is drawn beside the others: most bugs show in the smallest, which cost least."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the sweeps."""
        return tuple(spec["name"] for spec in self.sweeps)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One schedule."""

    seed: int
    """Also of the order in which processes take turns, and of how long epochs take."""
    shape: int
    """Which of `SHAPES`."""
    devices: tuple[str, ...]
    """The kind of device of each worker."""
    machines: int
    """How many machines they run on, one after the other."""
    faults: tuple[Fault, ...]
    deeds: tuple[Deed, ...]
    tempers: tuple[Temper, ...]
    """How trainings behave, by the number of the slot and of the attempt, round and round."""
    pace: float
    """How likely an epoch takes long, longer than a lease is renewed, or than it holds."""
    idle_s: tuple[float, float]
    """How long idle workers wait before they look again, at least and at most; not as short as in
    the product, for looks are dear here, and virtual seconds free."""
    real_optuna: bool


def _sweep(name: str, **search: Any) -> dict[str, Any]:
    others = {key: search.pop(key) for key in ("retrain", "retries", "objective") if key in search}
    return {
        "name": name,
        "trainer": "sweep.testing:instant_trainer",
        "stream_gb": 0,
        "hung_after_s": 60,
        "search": search,
        **others,
    }


def _shapes() -> tuple[Shape, ...]:
    rates = {"lr0": [0.1, 0.01, 0.001]}
    span = {"lr0": {"low": 0.001, "high": 0.1, "log": True}}
    retrain = {"epochs": 2, "baseline": {"lr0": 0.05}}
    two = {"lr0": [0.1, 0.01]}
    falling = {"lr0": [0.01, 0.1, 0.001]}  # the later ones are worse, so they are pruned
    many = {"lr0": [0.01, 0.02, 0.005, 0.03, 0.004, 0.5]}  # the median asks for five before
    again = {"crashed": 1, "oom": 1, "lost": 1}
    one = {"lr0": [0.1]}
    smallest = (
        (_sweep("one", epochs=1, space=one),),
        (_sweep("one", epochs=2, space=one, retries=again),),
        (_sweep("one", epochs=1, space=one, retrain={"epochs": 1, "baseline": {"lr0": 0.05}}),),
    )
    larger = (
        (_sweep("one", epochs=2, space=two),),
        (_sweep("one", epochs=2, space=rates, retries=again),),
        (_sweep("one", epochs=1, space=two, retrain=retrain),),
        (_sweep("one", epochs=2, space=two, retrain=retrain, retries=again),),
        (_sweep("one", epochs=3, space=falling, pruner="successive_halving"),),
        (_sweep("one", epochs=2, space=many, pruner="median", retries=again),),
        (_sweep("one", epochs=3, space=falling, pruner="hyperband", retrain=retrain),),
        (_sweep("one", epochs=1, space=span, sampler="tpe", trials=3, retries=again),),
        (_sweep("one", epochs=2, space=span, sampler="random", trials=2, objective="map50"),),
        (
            _sweep("one", epochs=2, space=two),
            _sweep("two", epochs=1, space=two, retries=again),
        ),
    )
    return (
        *(Shape(sweeps=sweeps, moments=250, weight=10) for sweeps in smallest),
        *(Shape(sweeps=sweeps, moments=700, weight=1) for sweeps in larger),
    )


SHAPES = _shapes()


def draw(seed: int) -> Plan:
    """Draw a schedule."""
    chance = random.Random(seed)
    weights = [shape.weight for shape in SHAPES]
    (shape,) = chance.choices(range(len(SHAPES)), weights=weights)
    names, moments = SHAPES[shape].names, SHAPES[shape].moments
    early = random.Random(f"{seed}/early")
    deeds = tuple(
        Deed(
            **_place(chance, moments),
            kind=chance.choice(_DEEDS),
            early=early.random() < 0.5,
            sweep=chance.choice(names),
            number=chance.randrange(4),
        )
        for _ in range(chance.choice((0, 0, 1, 1, 2, 3)))
    )
    if len(deeds) > 1 and chance.random() < 0.4:  # two people at the same moment
        deeds = (deeds[0], replace(deeds[1], at=deeds[0].at, aim=deeds[0].aim), *deeds[2:])
    amid: tuple[Fault, ...] = ()
    if deeds and deeds[-1].early and early.random() < 0.5:  # and somebody else is amid just that
        place: dict[str, Any] = {
            "at": early.choice((0, 0, 1, 2)),
            "aim": early.choice(_AMID),
            "early": True,
        }
        deeds = (*deeds[:-1], replace(deeds[-1], **place))
        amid = (Fault(**place, kind=FaultKind.STOP, seconds=early.choice((1.0, 20.0))),)
    return Plan(
        seed=seed,
        shape=shape,
        devices=tuple("cuda" if chance.random() < 0.25 else "cpu" for _ in range(_workers(chance))),
        machines=chance.choice((1, 2)),
        faults=(*(_fault(chance, moments) for _ in range(chance.choice(_FAULTS_EACH))), *amid),
        deeds=deeds,
        tempers=_tempers(chance),
        pace=chance.choice((0.05, 0.05, 0.2, 0.9)),
        idle_s=chance.choice(((30.0, 30.0), (30.0, 30.0), (8.0, 40.0), (1.0, 20.0))),
        real_optuna=seed % REAL_OPTUNA_OF == 0,
    )


def _workers(chance: random.Random) -> int:
    return chance.choice((1, 2, 2, 3))


def _fault(chance: random.Random, moments: int) -> Fault:
    kind = chance.choice(_FAULTS)
    seconds = {
        FaultKind.STOP: (1.0, 70.0, 85.0, 130.0, 3600.0),
        FaultKind.AWAY: (1.0, 5.0, 30.0, 200.0),
        FaultKind.STEP: (-3600.0, -5.0, 5.0, 70.0, 3600.0),
        FaultKind.FULL: (5.0, 60.0),
    }.get(kind, (0.0,))
    return Fault(**_place(chance, moments), kind=kind, seconds=chance.choice(seconds))


def _place(chance: random.Random, moments: int) -> dict[str, Any]:
    """Draw when something happens."""
    if chance.random() < 0.5:
        return {"at": chance.randrange(moments)}
    return {"at": chance.randrange(5), "aim": chance.choice(_AIMS)}


def _tempers(chance: random.Random) -> tuple[Temper, ...]:
    mood = chance.random()
    if mood < 0.7:
        return (Temper.GOOD,)
    bad = chance.choice(_BAD if mood < 0.92 else sorted(STRANGE))
    return tuple(bad if chance.random() < 0.4 else Temper.GOOD for _ in range(5))
