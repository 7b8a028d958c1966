import plotly.graph_objects as go
import pytest

from storage.states import SlotState
from sweep.report.data import read
from sweep.report.figures.curves import (
    draw_panel,
    draw_search_curves,
    retrain_panels,
    search_curves,
)
from sweep.report.trials import Trial
from tests.factories import BASELINE, BEST, grid, make_search, make_slot, make_sweep


def test_every_trial_with_an_epoch_has_a_curve_and_the_best_is_drawn_last(whole):
    curves = search_curves(whole.search, whole.best, whole.space).lines

    assert len(curves) == 45
    assert [curve.best for curve in curves] == [False] * 44 + [True]
    assert curves[-1].name == "trial 34: AdamW, lr0 0.005, beta1 0.5"
    assert curves[-1].epochs == (1, 2, 3, 4, 5)
    assert curves[-1].values[-1] == pytest.approx(0.212)
    assert curves[-1].group == "AdamW"


def test_a_trial_without_an_epoch_has_no_curve():
    slots = [make_slot(0, grid()[0]), make_slot(1, grid()[1], state=SlotState.QUEUED)]
    data = read(make_sweep(make_search(slots)))

    assert len(search_curves(data.search, data.best, data.space).lines) == 1


def test_of_a_thousand_trials_the_highest_and_some_others_are_drawn():
    space = {"lr0": {"low": 1e-4, "high": 0.1, "log": True}}
    slots = [make_slot(n, {"lr0": 0.01}, epochs=1, score=n / 1000) for n in range(1000)]
    data = read(make_sweep(make_search(slots), space=space))

    found = search_curves(data.search, data.best, data.space)

    drawn = [curve.values[-1] for curve in found.lines]
    assert found.trials == 1000
    assert len(drawn) == 100
    assert {n / 1000 for n in range(950, 1000)} <= set(drawn)
    assert min(drawn) < 0.1
    assert found.lines[-1].best


def test_the_drawing_names_each_optimizer_once(whole):
    drawing = draw_search_curves(search_curves(whole.search, whole.best, whole.space))

    shown = [trace.name for trace in drawing.data if trace.showlegend is not False]
    assert shown == ["SGD", "Adam", "AdamW", "best"]


def test_retrainings_have_scores_and_losses_side_by_side(whole):
    panels = retrain_panels([run.trial for run in whole.retrained])

    assert [(panel.title, panel.is_loss) for panel in panels] == [
        ("mAP50", False),
        ("mAP50-95", False),
        ("precision", False),
        ("recall", False),
        ("box loss", True),
        ("cls loss", True),
        ("dfl loss", True),
    ]
    assert [curve.name for curve in panels[0].curves] == ["baseline", "best"]
    assert [curve.name for curve in panels[4].curves] == [
        "baseline",
        "baseline, val",
        "best",
        "best, val",
    ]
    assert panels[1].curves[1].values[-1] == pytest.approx(0.375)
    assert isinstance(draw_panel(panels[4]), go.Figure)


def test_a_retraining_that_has_just_begun_leaves_the_other_alone():
    trials = [
        Trial(
            stage="retrain",
            slot=make_slot(0, BASELINE, state=SlotState.RUNNING, epochs=1, label="baseline"),
        ),
        Trial(stage="retrain", slot=make_slot(1, BEST, state=SlotState.QUEUED, label="best")),
    ]

    panels = retrain_panels(trials)

    assert [curve.name for curve in panels[0].curves] == ["baseline"]
    assert draw_panel(panels[0]).data[0].mode == "markers"
    assert retrain_panels(trials[1:]) == ()
