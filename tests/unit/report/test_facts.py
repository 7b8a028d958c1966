from dataclasses import replace
from pathlib import Path

from storage.states import SlotState
from sweep.report.data import read
from sweep.report.facts import duration, facts
from sweep.report.figures.comparison import comparison
from tests.factories import grid, make_search, make_slot, make_sweep


def told(data) -> dict[str, tuple[str, str]]:
    found = facts(data, comparison(data.judged))
    return {fact.name: (fact.value, fact.detail) for fact in found}


def test_the_first_screen_tells_score_gain_model_and_cost(whole):
    found = told(whole)

    assert found["mAP50-95 of the best trial"] == (
        "0.212",
        "trial 34, epoch 5 of 5, validation split; mAP50 0.360",
    )
    assert found["Gain over the baseline"][0] == "+0.117"
    assert found["Gain over the baseline"][1].endswith("on the test split, 24 images")
    assert found["Model"] == ("runs/1/best.pt", "trial 1 of retrain, 100 epochs")
    assert found["Cost"] == (
        "418 epochs",
        "3.5 h of device time over 47 trials; 218 epochs in the search",
    )


def test_without_a_retraining_the_model_is_the_searchs(tmp_path):
    slots = [make_slot(0, grid()[0]), make_slot(1, grid()[1], state=SlotState.QUEUED)]
    away = replace(slots[0], result={**slots[0].result, "checkpoint": "/else/where/best.pt"})

    assert told(read(make_sweep(make_search(slots))))["Model"][0] == "runs/0/best.pt"
    assert told(read(replace(make_sweep(make_search([away])), runs=Path("/project/runs"))))[
        "Model"
    ] == ("/else/where/best.pt", "trial 0 of search, 5 epochs")
    assert "Cost so far" in told(read(make_sweep(make_search(slots))))


def test_the_model_to_take_home_is_named_where_it_is_written(tmp_path, monkeypatch):
    weights = tmp_path / "runs" / "taco-grid" / "best.pt"
    weights.parent.mkdir(parents=True)
    weights.touch()
    monkeypatch.setattr("sweep.report.facts.are_written", lambda *_: True)
    data = read(replace(make_sweep(make_search()), runs=tmp_path / "runs"))

    assert told(data)["Model"] == (
        "runs/taco-grid/best.pt",
        "trial 34 of search, 5 epochs; settings: runs/taco-grid/best.yaml",
    )


def test_one_judged_model_has_its_score_and_the_others_reason(whole):
    run = whole.run("baseline")
    failed = replace(run, evaluation=None, missing="its training is failed (oom: full)")

    value, detail = told(replace(whole, retrained=(failed, whole.run("best"))))[
        "Gain over the baseline"
    ]

    assert value == "—"
    assert detail.startswith("best has mAP50-95 0.")
    assert detail.endswith("baseline: its training is failed (oom: full)")


def test_times_are_told_as_people_say_them():
    assert [duration(seconds) for seconds in (0, 41.4, 210, 8640)] == [
        *("0 s", "41 s", "3.5 min", "2.4 h")
    ]
