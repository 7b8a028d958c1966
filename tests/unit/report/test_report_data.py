from dataclasses import replace

import pytest

from storage.states import SlotState
from sweep.report.data import read
from sweep.report.trials import MAP50, MAP50_95, Trial, setting, settings
from tests.factories import BEST, grid, make_retrain, make_search, make_slot, make_sweep


def trial(slot) -> Trial:
    return Trial(stage="search", slot=slot)


def test_the_best_trial_is_the_one_with_the_highest_objective(whole):
    assert whole.best is not None
    assert whole.best.params == BEST
    assert whole.best.score(MAP50_95) == pytest.approx(0.212)


def test_the_objective_decides_which_trial_is_best():
    slots = [make_slot(0, grid()[0], score=0.3), make_slot(1, grid()[1], score=0.2)]
    slots[1] = replace(slots[1], result={**slots[1].result, "map50": 0.9})

    assert read(make_sweep(make_search(slots))).best.name == "0"
    assert read(make_sweep(make_search(slots), objective="map50")).best.name == "1"


def test_of_equal_trials_the_first_is_best():
    slots = [make_slot(number, grid()[number], score=0.3) for number in range(3)]

    assert read(make_sweep(make_search(slots))).best.name == "0"


def test_a_trial_without_a_result_has_no_score():
    failed = make_slot(0, grid()[0], state=SlotState.FAILED, failure_kind="oom", message="full")
    complete = make_slot(1, grid()[1])
    broken = replace(complete, result={**complete.result, "map50": float("nan")})
    empty = replace(complete, result={**complete.result, "map50": None, "seconds": None})

    assert trial(failed).score(MAP50) is None
    assert trial(failed).reason == "oom: full"
    assert trial(broken).score(MAP50) is None
    assert trial(empty).score(MAP50) is None  # what the database holds for a NaN
    assert trial(empty).score_text(MAP50) == "—"
    assert trial(empty).seconds == 150.0


def test_seconds_of_an_unfinished_trial_are_those_of_its_epochs():
    running = make_slot(0, grid()[0], state=SlotState.RUNNING, epochs=3)

    assert trial(running).seconds == 90.0
    assert trial(make_slot(1, grid()[1])).seconds == 150.0
    assert trial(make_slot(2, grid()[2], state=SlotState.QUEUED)).seconds == 0.0


def test_both_evaluations_are_read_and_their_predictions_found_beside_them(whole):
    assert list(whole.judged) == ["baseline", "best"]
    for evaluation in whole.judged.values():
        assert evaluation.predictions.is_file()


def test_a_missing_evaluation_leaves_its_reason():
    baseline = replace(
        make_slot(0, grid()[0]),
        label="baseline",
        result={**make_slot(0, grid()[0]).result, "evaluation": "/nowhere/evaluation.json"},
    )
    best = make_slot(
        1, BEST, state=SlotState.FAILED, label="best", failure_kind="diverged", message="NaN"
    )

    data = read(make_sweep(make_search(), make_retrain([baseline, best])))

    assert data.judged == {}
    assert data.run("baseline").missing == (
        "evaluation.json cannot be read here (No such file or directory)"
    )
    assert data.run("best").missing == "its training is failed (diverged: NaN)"
    assert data.dataset is None


def test_settings_are_written_as_a_reader_writes_them():
    assert settings(BEST) == "AdamW, lr0 0.005, beta1 0.5"
    assert settings({"optimizer": "SGD", "momentum": 0.937}) == "SGD, momentum 0.937"
    assert setting(0.00001) == "1e-05"
    assert setting(True) == "True"
