"""What every kind of stage keeps to."""

from typing import Any

import pytest

from storage.queue.slots import Slot
from storage.snapshot.records import StageRecord
from storage.states import SlotState, StageState
from sweep.paths import study_name
from sweep.search.pruners import PRUNERS
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.base import Stage
from sweep.stages.plan import STAGES, kind_of, planned_stages
from tests.factories import make_slot
from tests.repeats import Repeats

SPEC = SweepSpec.model_validate(
    {
        "name": "one",
        "trainer": "sweep.testing:instant_trainer",
        "search": {"epochs": 2, "pruner": "median", "space": {"lr0": [0.1, 0.01], "mosaic": [1.0]}},
        "retrain": {"epochs": 4, "baseline": {"lr0": 0.2, "momentum": 0.9}},
    }
)
ALL = [*STAGES.items(), ("repeats", Repeats())]


@pytest.fixture(params=ALL, ids=[name for name, _ in ALL])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Return each kind, in the table."""
    name, found = request.param
    monkeypatch.setitem(STAGES, name, found)
    return found


def searched(state: SlotState) -> StageRecord:
    """Return the search of `SPEC` with its trials in one state."""
    points: list[dict[str, Any]] = [{"lr0": 0.1, "mosaic": 1.0}, {"lr0": 0.01, "mosaic": 1.0}]
    return StageRecord(
        id=1,
        name="search",
        study="one/search",
        state=StageState.DONE,
        epochs=2,
        slots=tuple(make_slot(place, point, state=state) for place, point in enumerate(points)),
    )


def before(kind: Stage, state: SlotState = SlotState.COMPLETE) -> list[StageRecord]:
    return [] if kind.opens_at_submit else [searched(state)]


def test_its_stored_names_lead_back_to_it(kind: Stage) -> None:
    (name,) = (name for name, found in STAGES.items() if found is kind)
    assert "-" not in name
    assert kind_of(name) is kind_of(f"{name}-2") is kind


def test_it_is_planned_at_submit_with_its_slots_or_waits(kind: Stage) -> None:
    (planned,) = (stage for stage in planned_stages(SPEC) if kind_of(stage.name) is kind)
    assert planned.study == study_name("one", planned.name)
    assert planned.epochs == kind.epochs(SPEC)
    assert planned.epochs > 0
    assert (planned.slots is not None) is kind.opens_at_submit


def test_it_opens_as_many_slots_as_expected(kind: Stage) -> None:
    assert len(kind.slots(SPEC, before(kind))) == kind.expected_slots(SPEC) > 0
    assert kind.summary(SPEC)


@pytest.mark.parametrize("state", [SlotState.FAILED, SlotState.PRUNED])
def test_it_has_nothing_to_do_after_a_search_without_a_result(
    kind: Stage, state: SlotState
) -> None:
    assert kind.opens_at_submit or kind.slots(SPEC, before(kind, state)) == []


def test_its_distributions_contain_the_settings_of_its_slots(kind: Stage) -> None:
    settings = [slot.params or {} for slot in kind.slots(SPEC, before(kind))]
    found = kind.distributions(SPEC, [] if kind.searches else settings)
    for name, value in (pair for params in settings for pair in params.items()):
        assert found[name]._contains(found[name].to_internal_repr(value))


def test_only_a_stage_that_searches_leaves_settings_to_a_sampler(kind: Stage) -> None:
    sampled = SPEC.model_copy(
        update={"search": SPEC.search.model_copy(update={"sampler": "tpe", "trials": 3})}
    )
    assert kind.searches or all(slot.params for slot in kind.slots(sampled, before(kind)))


def test_some_of_its_trainings_see_the_same_images(kind: Stage) -> None:
    settings = [slot.params or {} for slot in kind.slots(SPEC, before(kind))]
    for params in settings:
        alike = kind.trainings_alike(SPEC, params, [] if kind.searches else settings)
        assert 1 <= alike <= len(settings)


def test_it_names_a_pruner_and_seeds(kind: Stage) -> None:
    assert kind.pruner(SPEC) in PRUNERS
    slots = [
        Slot(
            id=place + 1,
            sweep_id=1,
            sweep="one",
            stage_id=1,
            stage="stage",
            study="one/stage",
            stage_epochs=2,
            ordinal=place,
            label=new.label,
            params=new.params,
            trial_id=None,
            trial_number=None,
        )
        for place, new in enumerate(kind.slots(SPEC, before(kind)))
    ]
    seeds = [kind.seed(SPEC, slot) for slot in slots]
    assert all(seed >= 0 for seed in seeds)
    assert seeds == [kind.seed(SPEC, slot) for slot in slots], "a trial goes on with its seed"


def test_only_models_in_full_are_judged_on_a_split_and_the_file_says_which() -> None:
    retrain = STAGES["retrain"]
    assert retrain.judge_on(SPEC) == "test"
    update = {"retrain": SPEC.retrain and SPEC.retrain.model_copy(update={"judge_on": "val"})}
    assert retrain.judge_on(SPEC.model_copy(update=update)) == "val"
    assert STAGES["search"].judge_on(SPEC) is None
