import plotly.graph_objects as go

from storage.states import SlotState
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

    assert (rate.values, rate.scores, rate.log) == ((0.01, 0.02), (0.2, 0.1), True)
    assert (batch.values, batch.categories) == (("8", "16"), ("8", "16"))
    assert momentum.values == (0.5,)
    assert rate.hover[0] == "trial 0: lr0 0.01, batch 8"
    assert isinstance(draw_slice(rate, MAP50_95), go.Figure)
    assert draw_slice(batch, MAP50_95).layout.xaxis.type == "category"
