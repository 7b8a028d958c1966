"""What a user is told beside the best setting."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage.snapshot.records import EpochRecord, SlotRecord, SweepRecord
from storage.states import SlotState
from sweep.report.hints import hints
from tests.factories import (
    BASELINE,
    BEST,
    grid,
    make_retrain,
    make_search,
    make_slot,
    make_sweep,
    make_whole_sweep,
)


def told(sweep: SweepRecord, kind: str) -> list[str]:
    return [hint.text for hint in hints(sweep) if hint.kind == kind]


def over(name: str, values: list[Any], best: Any, space: dict[str, Any], **spec: Any) -> list[str]:
    """Return the edge hints of a search over one setting whose best value is `best`."""
    slots = [
        make_slot(n, {name: value}, score=0.5 if value == best else 0.1 + n / 100)
        for n, value in enumerate(values)
    ]
    return told(make_sweep(make_search(slots), space={name: space}, **spec), "edge")


@pytest.mark.parametrize(
    ("name", "best", "space", "says"),
    [
        ("lr0", 0.1, {"choices": [0.01, 0.1, 0.001]}, "lr0 0.1 of the best trial is the largest"),
        ("lr0", 0.001, {"choices": [0.01, 0.1, 0.001]}, "the smallest tried: try smaller"),
        ("lr0", 0.01, {"choices": [0.01, 0.1, 0.001]}, None),
        ("batch", 32, {"low": 8, "high": 32, "step": 8}, "batch 32"),
        ("batch", 24, {"low": 8, "high": 33, "step": 8}, None),
        ("batch", 32, {"low": 8, "high": 33, "step": 8}, "the largest tried"),
        ("lr0", 0.09, {"low": 1e-4, "high": 0.1, "log": True}, "upper end of its range, 0.1"),
        ("lr0", 0.05, {"low": 1e-4, "high": 0.1, "log": True}, None),
        ("lr0", 0.0001, {"low": 1e-4, "high": 0.1, "log": True}, "lower end of its range, 0.0001"),
        ("optimizer", "SGD", {"choices": ["SGD", "AdamW"]}, None),
        ("rect", True, {"choices": [False, True]}, None),
        ("batch", 16, {"choices": [16]}, None),
        ("mosaic", 1.0, {"choices": [0.0, 0.5, 1.0]}, None),  # there is nothing above 1
        ("mosaic", 0.0, {"low": 0.0, "high": 1.0}, None),
        ("degrees", 10.0, {"choices": [0.0, 10.0]}, "degrees 10 of the best trial"),
    ],
)
def test_a_best_value_at_the_edge(
    name: str, best: Any, space: dict[str, Any], says: str | None
) -> None:
    middle = [value for value in space.get("choices", [best]) if value != best]
    found = over(name, [best, *middle], best, space)
    assert len(found) == (says is not None)
    assert says is None or says in found[0]


def test_a_setting_of_another_trainer_knows_no_limits() -> None:
    space = {"choices": [0.0, 0.5, 1.0]}
    assert over("mosaic", [0.0, 0.5, 1.0], 1.0, space, trainer="mine:train")


def test_momentum_is_called_what_it_is() -> None:
    slots = [make_slot(n, point) for n, point in enumerate(grid())]
    slots[35] = make_slot(35, grid()[35], score=0.5)  # AdamW, 0.005, 0.9
    (text,) = told(make_sweep(make_search(slots)), "edge")
    assert text == "beta1 0.9 of the best trial is the largest tried: try larger."


def test_where_all_scored_zero_nothing_is_crowned() -> None:
    slots = [make_slot(n, point, score=0.0) for n, point in enumerate(grid()[:3])]
    slots.append(make_slot(3, grid()[3], state=SlotState.FAILED, epochs=0, failure_kind="oom"))
    sweep = replace(make_sweep(make_search(slots)), model="yolov8n.yaml")
    (hint,) = hints(sweep)
    assert hint.kind == "nothing_learned"
    assert (
        "no completed trial of the search (3 in all) scored above 0, so no setting is the best"
        in hint.text
    )
    assert "more epochs, weights to start from (model: yolov8n.pt), a look at the" in hint.text
    retrained = make_retrain([make_slot(0, grid()[0], label="best", slot=100, score=0.0)])
    (text,) = told(replace(sweep, stages=(*sweep.stages, retrained)), "nothing_learned")
    assert text.endswith("What was retrained as `best` is only the setting tried first.")


def test_a_search_that_goes_on_or_failed_has_no_hints() -> None:
    going = [make_slot(0, grid()[0], score=0.0), make_slot(1, grid()[1], state=SlotState.RUNNING)]
    assert hints(make_sweep(make_search(going))) == ()
    failed = [make_slot(0, grid()[0], state=SlotState.FAILED, epochs=0)]
    assert hints(make_sweep(make_search(failed))) == ()


def curve(ordinal: int, *scores: float) -> SlotRecord:
    """Return a trial with these scores after its epochs."""
    slot = make_slot(ordinal, grid()[ordinal], epochs=len(scores), score=max(scores))
    epochs: tuple[EpochRecord, ...] = tuple(
        replace(epoch, map50_95=value) for epoch, value in zip(slot.epochs, scores, strict=True)
    )
    return replace(slot, epochs=epochs)


def noise(*slots: SlotRecord) -> list[str]:
    return told(make_sweep(make_search(list(slots))), "noise")


def test_best_and_second_within_noise() -> None:
    (text,) = noise(
        curve(0, 0.10, 0.30, 0.20, 0.32, 0.22),
        curve(1, 0.10, 0.20, 0.31, 0.21, 0.25),
        curve(2, 0.01, 0.02, 0.03, 0.04, 0.05),
    )
    # The lead over the last four epochs: 0.10, -0.11, 0.11, -0.03.
    assert text.startswith("Trials 0 and 1 are within noise of each other in mAP50-95: ")
    assert (
        "leads the second by 0.010, and from one epoch to the next its lead changed by 0.193"
        in text
    )


def test_a_lead_that_stays_is_no_noise_however_both_rise() -> None:
    assert noise(curve(0, 0.11, 0.21, 0.31, 0.41, 0.51), curve(1, 0.1, 0.2, 0.3, 0.4, 0.5)) == []


def test_of_few_epochs_only_equal_scores_are_told() -> None:
    assert noise(curve(0, 0.1, 0.31), curve(1, 0.3, 0.3)) == []
    level = noise(curve(0, 0.1, 0.3001), curve(1, 0.3, 0.3002), curve(2, 0.3), curve(3, 0.3))
    assert level == [
        "Trials 1, 0, 2 and 1 more score the same, mAP50-95 0.300: none of them is ahead."
    ]


def test_one_trial_has_nothing_beside_it() -> None:
    assert noise(curve(0, 0.1, 0.3)) == []


def test_a_better_baseline_is_told_with_its_weights(tmp_path: Path) -> None:
    sweep = make_whole_sweep(tmp_path)
    assert told(sweep, "baseline") == []
    search, retrain = sweep.stages
    baseline, best = retrain.slots
    swapped = [replace(baseline, label="best"), replace(best, label="baseline")]
    found = replace(sweep, stages=(search, replace(retrain, slots=tuple(swapped))))
    (text,) = told(found, "baseline")
    assert "when both were trained for 100 epochs, once each: mAP50-95 0.375 against 0.259" in text
    assert text.endswith("on the test split; its weights: /runs/1/best.pt.")


def test_without_evaluations_the_validation_scores_decide() -> None:
    slots = [
        make_slot(0, dict(BASELINE), label="baseline", slot=100, score=0.5),
        make_slot(1, dict(BEST), label="best", slot=101, score=0.4),
    ]
    (text,) = told(make_sweep(make_search(), make_retrain(slots)), "baseline")
    assert "0.500 against 0.400 on the val split" in text
