"""The sections of the page about the search: heatmaps, learning curves, importance."""

from sweep.pages import theme
from sweep.pages.markup import columns, esc, paragraph, plot, section
from sweep.report.data import ReportData
from sweep.report.figures.curves import draw_search_curves, search_curves
from sweep.report.figures.heatmaps import OPTIMIZER, Heatmaps, draw_heatmap, heatmaps
from sweep.report.figures.importance import FEW_TRIALS, draw_importance, importance
from sweep.report.figures.slices import draw_slice, slices
from sweep.report.trials import METRICS


def heatmap_section(data: ReportData) -> str:
    """Return the heatmaps of both metrics; where there are none, slices of the objective."""
    fixed = data.sweep.spec.get("train", {}).get(OPTIMIZER)
    both = [heatmaps(data.search, data.space, metric, fixed) for metric in METRICS]
    missing = both[0].missing
    if missing:
        return section(
            "heatmaps",
            "Scores over the searched settings",
            paragraph(f"No heatmaps: {missing}. One setting at a time instead:", "note"),
            columns(
                plot(
                    draw_slice(found, data.objective),
                    alt=f"{data.objective.title} of {len(found.scores)} trials by {found.title}",
                )
                for found in slices(data.search, data.space, data.objective)
            ),
        )
    return section("heatmaps", "Scores over the grid", *(_metric(maps) for maps in both))


def _metric(found: Heatmaps) -> str:
    over = f" A cell is the best over {', '.join(found.best_over)}." if found.best_over else ""
    caption = (
        f"{found.metric.title} on the validation split at each trial's best epoch; the same "
        f"colours in all maps, the highest value bold. Cells in words have no score.{over}"
    )
    maps = columns(
        plot(
            draw_heatmap(heatmap, found),
            alt=f"{found.metric.title} of {heatmap.title} by {heatmap.row_name} "
            f"and {heatmap.column_title}",
        )
        for heatmap in found.maps
    )
    stops = ", ".join(f"{colour} {part:.0%}" for part, colour in theme.SCALE)
    legend = (
        f'<div class="legend"><span>{found.low:.3f}</span>'
        f'<i style="background: linear-gradient(to right, {stops})"></i>'
        f"<span>{found.high:.3f}</span></div>"
    )
    return (
        f"<h3>{esc(found.metric.title)}</h3>{paragraph(caption, 'note')}"
        f"{legend if found.high else ''}{maps}"
    )


def curve_section(data: ReportData) -> str:
    """Return the learning curves of all search trials."""
    curves = search_curves(data.search, data.best)
    title = "Learning curves of the search"
    if not curves:
        return section("curves", title, paragraph("No trial has an epoch yet.", "note"))
    return section(
        "curves",
        title,
        plot(
            draw_search_curves(curves),
            alt=f"mAP50-95 after each epoch of {len(curves)} search trials",
            caption=f"{len(curves)} trials with at least one epoch, pruned and failed ones "
            "included. Point at a line for its settings; the best trial is drawn thick.",
        ),
    )


def importance_section(data: ReportData) -> str:
    """Return the importance of the searched settings for both metrics."""
    both = [importance(data.search, data.space, metric) for metric in METRICS]
    estimated = [found for found in both if not found.missing]
    if not estimated:
        return section(
            "importance",
            "Which settings mattered",
            paragraph(f"Not estimated: {both[0].missing}.", "note"),
        )
    trials = estimated[0].trials
    return section(
        "importance",
        "Which settings mattered",
        paragraph(
            "Share of each setting in how much the score varies over the searched values (fANOVA)."
            + ("" if trials >= FEW_TRIALS else f" From {trials} trials this is rough."),
            "note",
        ),
        columns(
            plot(
                draw_importance(found),
                alt=f"Importance for {found.metric.title}: "
                + ", ".join(f"{name} {share:.0%}" for name, share in found.shares.items()),
            )
            for found in estimated
        ),
    )
