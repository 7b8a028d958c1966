import plotly.graph_objects as go
import pytest

from storage.states import SlotState
from sweep.pages import theme
from sweep.report.data import read
from sweep.report.figures.grouping import grouping
from sweep.report.figures.parallel import draw_parallel, parallel
from sweep.report.trials import MAP50_95
from tests.factories import make_search, make_slot, make_sweep

SPACE = {
    "optimizer": {"choices": ["SGD", "Adam"]},
    "lr0": {"low": 1e-4, "high": 0.1, "log": True},
    "momentum": {"low": 0.5, "high": 0.9, "when": {"optimizer": ["SGD"]}},
}


def found(slots, space=SPACE):
    data = read(make_sweep(make_search(slots), space=space))
    return parallel(data.search, data.space, MAP50_95, data.best)


def test_every_trial_crosses_the_axes_at_its_settings_and_the_best_comes_last():
    shown = found(
        [
            make_slot(0, {"optimizer": "SGD", "lr0": 0.1, "momentum": 0.6}, score=0.3),
            make_slot(1, {"optimizer": "Adam", "lr0": 0.001}, score=0.1),
            make_slot(2, {"optimizer": "Adam", "lr0": 0.01}, state=SlotState.FAILED),
        ]
    )

    assert [axis.title for axis in shown.axes] == ["optimizer", "lr0", "momentum", "mAP50-95"]
    assert shown.axes[0].ticks == ((0.0, "SGD"), (1.0, "Adam"))
    assert shown.axes[3].ticks == ((0.0, "0.100"), (1.0, "0.300"))
    assert [line.places for line in shown.lines] == [
        pytest.approx((1.0, 1 / 3, None, 0.0)),
        pytest.approx((0.0, 1.0, 0.25, 1.0)),
    ]
    assert [line.best for line in shown.lines] == [False, True]
    drawing = draw_parallel(shown)
    assert isinstance(drawing, go.Figure)
    assert [trace.line.color for trace in drawing.data] == [theme.colour(1), theme.INK]


def test_one_trial_or_one_setting_has_nothing_to_compare():
    one = {"lr0": SPACE["lr0"]}

    assert found([make_slot(0, {"optimizer": "SGD", "lr0": 0.1, "momentum": 0.6})]) is None
    assert found([make_slot(n, {"lr0": 0.1}) for n in range(2)], one) is None


def test_choices_that_are_no_names_have_their_place():
    space = {"freeze": {"choices": [None, True, 0.5, "x"]}, "lr0": SPACE["lr0"]}
    slots = [make_slot(n, {"freeze": v, "lr0": 0.01}) for n, v in enumerate([None, True, 0.5, "x"])]

    places = [line.places[0] for line in found(slots, space).lines]

    assert sorted(places) == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_of_a_thousand_lines_the_highest_are_drawn():
    space = {"a": {"low": 0.0, "high": 1.0}, "b": {"low": 0.0, "high": 1.0}}
    slots = [make_slot(n, {"a": 0.5, "b": 0.5}, epochs=1, score=n / 1000) for n in range(300)]

    shown = found(slots, space)

    assert (len(shown.lines), shown.trials) == (100, 300)
    assert shown.lines[-1].best
    assert shown.axes[-1].ticks == ((0.0, "0.000"), (1.0, "0.299"))


def test_colours_are_of_the_optimizer_else_of_the_first_choice():
    def name(space) -> str:
        data = read(make_sweep(make_search([]), space=space))
        return grouping(data.search, data.space).name

    assert name({"batch": {"choices": [8, 16]}, **SPACE}) == "optimizer"
    assert name({"lr0": SPACE["lr0"], "batch": {"choices": [8, 16]}}) == "batch"
    assert name({"lr0": SPACE["lr0"], "batch": {"choices": list(range(30))}}) == ""
