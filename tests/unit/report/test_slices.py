import plotly.graph_objects as go

from storage.states import SlotState
from sweep.pages import theme
from sweep.report.data import read
from sweep.report.figures.slices import draw_slice, slices
from sweep.report.trials import MAP50_95
from tests.factories import make_search, make_slot, make_sweep


def test_one_slice_a_setting_with_the_trials_that_have_it():
    space = {
        "lr0": {"low": 1e-4, "high": 0.1, "log": True},
        "batch": {"choices": [8, 16]},
        "momentum": {"low": 0.1, "high": 0.9},
    }
    slots = [
        make_slot(0, {"lr0": 0.01, "batch": 8}, score=0.2),
        make_slot(1, {"lr0": 0.02, "batch": 16, "momentum": 0.5}, score=0.1),
        make_slot(2, {"lr0": 0.03, "batch": 16}, state=SlotState.FAILED),
    ]
    data = read(make_sweep(make_search(slots), space=space))

    rate, batch, momentum = slices(data.search, data.space, MAP50_95)

    assert [(point.value, point.score) for point in rate.points] == [(0.01, 0.2), (0.02, 0.1)]
    assert rate.log
    assert ([point.value for point in batch.points], batch.categories) == ([0, 1], ("8", "16"))
    assert [point.value for point in momentum.points] == [0.5]
    assert rate.points[0].hover == "trial 0: lr0 0.01, batch 8"
    assert isinstance(draw_slice(rate, MAP50_95), go.Figure)
    assert draw_slice(batch, MAP50_95).layout.xaxis.ticktext == ("8", "16")


def test_points_have_the_colour_of_their_choice_and_the_best_is_a_star():
    space = {
        "lr0": {"low": 1e-4, "high": 0.1, "log": True},
        "optimizer": {"choices": ["SGD", "Adam"]},
    }
    params = [{"lr0": 0.01, "optimizer": name} for name in ("SGD", "Adam", "Adam")]
    slots = [make_slot(n, found, score=n / 10) for n, found in enumerate(params)]
    data = read(make_sweep(make_search(slots), space=space))

    rate = slices(data.search, data.space, MAP50_95, data.best)[0]

    drawn = draw_slice(rate, MAP50_95).data
    assert [(trace.marker.color, list(trace.y)) for trace in drawn[:2]] == [
        (theme.colour(0), [0.0]),
        (theme.colour(1), [0.1]),
    ]
    assert (drawn[2].marker.symbol, list(drawn[2].y)) == ("star", [0.2])


def test_a_setting_that_no_trial_has_draws_no_empty_figure():
    space = {
        "lr0": {"low": 1e-4, "high": 0.1},
        "momentum": {"low": 0.1, "high": 0.9, "when": {"lr0": [1]}},
    }
    data = read(make_sweep(make_search([make_slot(0, {"lr0": 0.01})]), space=space))

    assert [found.name for found in slices(data.search, data.space, MAP50_95)] == ["lr0"]
