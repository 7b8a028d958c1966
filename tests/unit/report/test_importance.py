import plotly.graph_objects as go
import pytest

from sweep.report.data import read
from sweep.report.figures.importance import draw_importance, importance
from sweep.report.trials import MAP50, MAP50_95
from tests.factories import grid, make_search, make_slot, make_sweep


def test_shares_sum_to_one_and_the_largest_comes_first(whole):
    found = importance(whole.search, whole.space, MAP50_95)

    assert list(found.shares) == ["lr0", "optimizer", "momentum"]
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert isinstance(draw_importance(found), go.Figure)


def test_the_setting_that_decides_everything_has_all_the_importance():
    slots = [
        make_slot(number, params, score=0.3 if params["lr0"] >= 0.005 else 0.1)
        for number, params in enumerate(grid())
    ]
    data = read(make_sweep(make_search(slots)))

    found = importance(data.search, data.space, MAP50)

    assert next(iter(found.shares)) == "lr0"
    assert found.shares["lr0"] > 0.95


def test_it_takes_ranges_and_leaves_out_settings_that_only_some_trials_have():
    space = {
        "optimizer": {"choices": ["SGD", "Adam"]},
        "lr0": {"low": 1e-4, "high": 0.1, "log": True},
        "momentum": {"low": 0.1, "high": 0.95, "when": {"optimizer": ["SGD"]}},
    }
    slots = [
        make_slot(
            number,
            {"optimizer": "SGD", "lr0": 10 ** (-number / 8), "momentum": 0.1 + number / 40}
            if number % 2
            else {"optimizer": "Adam", "lr0": 10 ** (-1 - number / 10)},
            score=number / 50,
        )
        for number in range(8, 30)
    ]
    data = read(make_sweep(make_search(slots), space=space))

    assert set(importance(data.search, data.space, MAP50).shares) == {"optimizer", "lr0"}


@pytest.mark.parametrize(
    ("count", "space", "reason"),
    [
        (7, None, "7 completed trials; an estimate needs at least 8"),
        (45, None, "every trial has the same score"),
        (45, {"lr0": {"choices": [0.1]}}, "only one setting is searched"),
    ],
)
def test_where_there_is_none_it_says_why(count, space, reason):
    slots = [make_slot(n, params, score=0.2) for n, params in enumerate(grid()[:count])]
    data = read(make_sweep(make_search(slots), space=space))

    found = importance(data.search, data.space, MAP50)

    assert (found.shares, found.missing) == ({}, reason)


def test_too_few_trials_above_zero_say_nothing_of_the_settings():
    slots = [make_slot(n, params, score=0.2 if n < 7 else 0.0) for n, params in enumerate(grid())]
    data = read(make_sweep(make_search(slots)))

    assert importance(data.search, data.space, MAP50).missing == (
        "7 of 45 completed trials scored above 0; an estimate needs at least 8"
    )


def test_of_many_trials_a_sample_is_enough(monkeypatch):
    monkeypatch.setattr("sweep.report.figures.importance.MOST_TRIALS", 20)
    slots = [
        make_slot(number, params, score=0.3 if params["lr0"] >= 0.005 else 0.1)
        for number, params in enumerate(grid())
    ]
    data = read(make_sweep(make_search(slots)))

    found = importance(data.search, data.space, MAP50)

    assert found.trials == 45
    assert next(iter(found.shares)) == "lr0"
    assert found == importance(data.search, data.space, MAP50)


def test_optuna_keeps_quiet(whole, capfd):
    importance(whole.search, whole.space, MAP50)

    assert capfd.readouterr().err == ""
