import plotly.graph_objects as go
import pytest

from storage.states import SlotState
from sweep.report.data import read
from sweep.report.figures.heatmaps import draw_heatmap, heatmaps
from sweep.report.trials import MAP50, MAP50_95
from tests.factories import grid, make_search, make_slot, make_spec, make_sweep


def test_one_map_an_optimizer_with_rates_falling_and_momenta_rising(whole):
    found = heatmaps(whole.search, whole.space, MAP50_95)

    assert [heatmap.optimizer for heatmap in found.maps] == ["SGD", "Adam", "AdamW"]
    assert found.maps[0].rows == (0.01, 0.005, 0.001, 0.0005, 0.0001)
    assert found.maps[0].columns == (0.1, 0.5, 0.9)
    assert [heatmap.column_title for heatmap in found.maps] == ["momentum", "beta1", "beta1"]
    adamw = found.maps[2].cells
    assert [cell.text for cell in adamw[1]] == ["0.182", "0.212", "0.182"]
    assert adamw[1][1].trial.name == "34"


def test_the_order_of_the_sweep_file_does_not_matter():
    space = make_spec()["search"]["space"]
    space["lr0"] = {"choices": [0.0001, 0.01, 0.001]}
    data = read(make_sweep(make_search(), space=space))

    assert heatmaps(data.search, data.space, MAP50).maps[0].rows == (0.01, 0.001, 0.0001)


def test_failed_and_pruned_cells_say_so_and_are_no_zero(whole):
    found = heatmaps(whole.search, whole.space, MAP50)

    failed, pruned = found.maps[1].cells[0][2], found.maps[0].cells[4][0]
    assert (failed.text, failed.value) == ("failed", None)
    assert (pruned.text, pruned.value) == ("pruned", None)
    assert found.low > 0


def test_all_maps_of_a_metric_share_one_scale(whole):
    found = heatmaps(whole.search, whole.space, MAP50_95)
    values = [c.value for m in found.maps for line in m.cells for c in line if c.value is not None]

    assert (found.low, found.high) == (min(values), max(values))
    drawn = [draw_heatmap(heatmap, found) for heatmap in found.maps]
    for figure in drawn:
        assert figure.data[0].zmin == found.low
        assert figure.data[0].zmax == pytest.approx(found.high)


def test_a_cell_is_the_best_over_the_other_settings():
    space = {
        "lr0": {"choices": [0.01, 0.001]},
        "momentum": {"choices": [0.5, 0.9]},
        "batch": {"choices": [8, 16]},
    }
    slots = [
        make_slot(0, {"lr0": 0.01, "momentum": 0.5, "batch": 8}, score=0.1),
        make_slot(1, {"lr0": 0.01, "momentum": 0.5, "batch": 16}, score=0.3),
        make_slot(2, {"lr0": 0.01, "momentum": 0.9, "batch": 8}, state=SlotState.FAILED),
        make_slot(3, {"lr0": 0.01, "momentum": 0.9, "batch": 16}, state=SlotState.QUEUED),
    ]
    data = read(make_sweep(make_search(slots), space=space))

    found = heatmaps(data.search, data.space, MAP50_95, "SGD")

    assert found.best_over == ("batch",)
    assert [m.optimizer for m in found.maps] == ["SGD"]
    assert [[cell.text for cell in line] for line in found.maps[0].cells] == [
        ["0.300", "queued"],
        ["no trial", "no trial"],
    ]


def test_a_range_has_no_heatmap_but_a_reason():
    space = {"lr0": {"low": 1e-4, "high": 0.1, "log": True}, "batch": {"choices": [8, 16]}}
    data = read(make_sweep(make_search([]), space=space))

    found = heatmaps(data.search, data.space, MAP50)

    assert found.maps == ()
    assert found.missing.endswith("this sweep has batch")


def test_the_drawing_writes_every_cell_and_marks_the_highest(whole):
    found = heatmaps(whole.search, whole.space, MAP50_95)

    drawing = draw_heatmap(found.maps[2], found)

    assert isinstance(drawing, go.Figure)
    assert [note.text for note in drawing.layout.annotations][3:6] == [
        "0.182",
        "<b>0.212</b>",
        "0.182",
    ]
    assert drawing.data[0].z[1][1] == pytest.approx(0.212)


def test_a_grid_that_has_not_begun_can_be_drawn():
    slots = [make_slot(n, point, state=SlotState.QUEUED) for n, point in enumerate(grid())]
    data = read(make_sweep(make_search(slots)))

    found = heatmaps(data.search, data.space, MAP50)

    assert {note.text for note in draw_heatmap(found.maps[0], found).layout.annotations} == {
        "queued"
    }
