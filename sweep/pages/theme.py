"""How everything in a report looks: colours and the frame of a figure."""

import colorsys
from collections.abc import Sequence
from typing import Any, Literal

import plotly.graph_objects as go

ACCENT = "#0b6e6e"
"""What matters: the best setting, its retraining."""
MUTED = "#8a8f98"
"""What it is compared with: the baseline."""
WARNING = "#9a3412"
"""What has no score: failed, pruned, missing."""
INK = "#1f2328"
GRID = "#e6e8eb"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
SCALE = ((0.0, "#f4f9f8"), (0.5, "#b5d9d4"), (0.85, "#5fb3ae"), (1.0, "#0b6e6e"))
"""Colours of a heatmap from its lowest to its highest value; readable when printed grey."""
DARK_FROM = 0.93
"""Part of `SCALE` from where text on it is white."""
# Okabe and Ito's palette for readers of every colour vision, yellow darkened for white paper.
_PALETTE = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7"),
    *("#b8a200", "#56b4e9", "#7a4ea3", "#e69f00"),
)


def colour(index: int) -> str:
    """Return the colour of the class, optimizer, … number `index`; never runs out."""
    if index < len(_PALETTE):
        return _PALETTE[index]
    red, green, blue = colorsys.hls_to_rgb((index * 0.618034) % 1, 0.42, 0.55)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def axis(title: str, **more: Any) -> dict[str, Any]:
    """Return the layout of an axis with a title."""
    return {
        "title": {"text": title, "standoff": 8},
        "gridcolor": GRID,
        "linecolor": GRID,
        "zeroline": False,
        "automargin": True,
        **more,
    }


def places(title: str, labels: Sequence[str], **more: Any) -> dict[str, Any]:
    """Return the layout of an axis with a labelled place for each of 0, 1, 2, …

    A category axis would drop places without a value, and take labels such as `0.1` for numbers.
    """
    more.setdefault("range", [-0.5, len(labels) - 0.5])
    ticks = list(range(len(labels)))
    return axis(title, tickvals=ticks, ticktext=list(labels), showgrid=False, **more)


def figure(
    *,
    title: str,
    x: dict[str, Any],
    y: dict[str, Any],
    height: int = 340,
    legend: Literal["none", "above", "below"] = "none",
    **layout: Any,
) -> go.Figure:
    """Return an empty figure of the report's looks; `height` in px."""
    return go.Figure(
        layout={
            "template": "none",
            "title": {
                "text": title,
                "font": {"size": 15},
                **{"x": 0, "xref": "paper", "y": 1, "yanchor": "top", "pad": {"t": 10}},
            },
            "font": {"family": FONT, "size": 12, "color": INK},
            "height": height,
            "margin": {"l": 56, "r": 16, "t": 68 if legend == "above" else 40, "b": 48},
            "xaxis": x,
            "yaxis": y,
            "showlegend": legend != "none",
            "legend": {
                "orientation": "h",
                "x": 0,
                "y": -0.2 if legend == "below" else 1.0,
                "yanchor": "top" if legend == "below" else "bottom",
            },
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "hoverlabel": {"font": {"family": FONT}},
            **layout,
        }
    )
