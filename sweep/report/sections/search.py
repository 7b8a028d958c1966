"""What the page shows of the search: heatmaps, learning curves, importance."""

from typing import Any

from sweep.pages import theme
from sweep.report.data import ReportData
from sweep.report.figures.curves import draw_search_curves, search_curves
from sweep.report.figures.grouping import grouping
from sweep.report.figures.heatmaps import OPTIMIZER, draw_heatmap, heatmaps
from sweep.report.figures.importance import FEW_TRIALS, MOST_TRIALS, draw_importance, importance
from sweep.report.figures.parallel import draw_parallel, parallel
from sweep.report.figures.slices import draw_slice, slices
from sweep.report.trials import METRICS


def heatmap_section(data: ReportData) -> dict[str, Any] | None:
    """Return the heatmaps of both metrics, else all settings side by side and one at a time.

    None where no trial has a score.
    """
    if all(trial.score(data.objective) is None for trial in data.search):
        return None
    fixed = data.sweep.spec.get("train", {}).get(OPTIMIZER)
    both = [heatmaps(data.search, data.space, metric, fixed) for metric in METRICS]
    if both[0].missing or _by_ranges(data):
        shown = (data.search, data.space, data.objective, data.best)
        return {
            "metric": data.objective,
            "has_best": data.best is not None,
            "groups": grouping(data.search, data.space),
            "parallel": parallel(*shown),
            "draw_parallel": draw_parallel,
            "slices": slices(*shown),
            "draw": draw_slice,
        }
    colours = ", ".join(f"{theme.shade(colour)} {part:.0%}" for part, colour in theme.SCALE)
    return {"metrics": both, "draw": draw_heatmap, "colours": colours}


def _by_ranges(data: ReportData) -> bool:
    """Return whether trials lie anywhere in ranges: cells of a map would be mostly empty."""
    ranges = any(parameter.choices is None for parameter in data.space.values())
    return ranges and data.sweep.spec["search"].get("sampler") != "grid"


def curve_section(data: ReportData) -> dict[str, Any] | None:
    """Return the learning curves of the search trials; None before the first epoch."""
    curves = search_curves(data.search, data.best, data.space)
    return {"found": curves, "draw": draw_search_curves} if curves.lines else None


def importance_section(data: ReportData) -> dict[str, Any] | None:
    """Return the importance of the searched settings for both metrics; None without a score."""
    if all(trial.score(data.objective) is None for trial in data.search):
        return None
    both = [importance(data.search, data.space, metric) for metric in METRICS]
    estimated = [found for found in both if not found.missing]
    return {
        "estimated": estimated,
        "missing": both[0].missing,
        "few": FEW_TRIALS,
        "most": MOST_TRIALS,
        "draw": draw_importance,
    }
