"""What the page shows of the search: heatmaps, learning curves, importance."""

from typing import Any

from sweep.pages import theme
from sweep.report.data import ReportData
from sweep.report.figures.curves import draw_search_curves, search_curves
from sweep.report.figures.heatmaps import OPTIMIZER, draw_heatmap, heatmaps
from sweep.report.figures.importance import FEW_TRIALS, draw_importance, importance
from sweep.report.figures.slices import draw_slice, slices
from sweep.report.trials import METRICS


def heatmap_section(data: ReportData) -> dict[str, Any]:
    """Return the heatmaps of both metrics; where there are none, slices of the objective."""
    fixed = data.sweep.spec.get("train", {}).get(OPTIMIZER)
    both = [heatmaps(data.search, data.space, metric, fixed) for metric in METRICS]
    if missing := both[0].missing:
        found = slices(data.search, data.space, data.objective)
        return {"missing": missing, "metric": data.objective, "slices": found, "draw": draw_slice}
    colours = ", ".join(f"{colour} {part:.0%}" for part, colour in theme.SCALE)
    return {"missing": "", "metrics": both, "draw": draw_heatmap, "colours": colours}


def curve_section(data: ReportData) -> dict[str, Any]:
    """Return the learning curves of all search trials."""
    return {"curves": search_curves(data.search, data.best), "draw": draw_search_curves}


def importance_section(data: ReportData) -> dict[str, Any]:
    """Return the importance of the searched settings for both metrics."""
    both = [importance(data.search, data.space, metric) for metric in METRICS]
    estimated = [found for found in both if not found.missing]
    return {
        "estimated": estimated,
        "missing": both[0].missing,
        "few": FEW_TRIALS,
        "draw": draw_importance,
    }
