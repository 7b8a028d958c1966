"""How everything in a report looks: colours, words in figures, and the frame of a figure."""

import colorsys
from collections.abc import Sequence
from functools import cache
from math import ceil
from typing import Any, Literal

import plotly.graph_objects as go
from markupsafe import escape

ACCENT = "#0b6e6e"
"""What matters: the best setting, its retraining."""
MUTED = "#8a8f98"
"""What it is compared with: the baseline."""
WARNING = "#9a3412"
"""What has no score: failed, pruned, missing."""
INK = "#1f2328"
PAPER = "#fefefe"
"""Behind text that lies on lines."""
GRID = "#e6e8eb"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
CLEAR = "rgba(0,0,0,0)"
SCALE = ((0.0, "#f4f9f8"), (0.5, "#b5d9d4"), (0.85, "#5fb3ae"), (1.0, "#0b6a6a"))
"""Colours of a heatmap from its lowest to its highest value; readable when printed grey."""
ON_DARK = "#ffffff"
"""Text on a colour of `SCALE` from `DARK_FROM` on, and on other dark colours."""
DARK_FROM = 0.93
"""Part of `SCALE` from where text on it is `ON_DARK`."""
NIGHT = {
    ACCENT: "#4fbdb4",
    MUTED: "#9aa1ab",
    WARNING: "#f0a17e",
    INK: "#e6e9ec",
    PAPER: "#14171a",
    GRID: "#343a41",
    **dict(zip([c for _, c in SCALE], ("#1b2423", "#153b39", "#0f5754", "#0b6e6a"), strict=True)),
}
"""What these colours are on a dark page. Text on the dark scale is `INK` or `ON_DARK` likewise; the
colours of `colour` are seen on white and on black."""
# Okabe and Ito's palette for readers of every colour vision, yellow darkened for white paper.
_PALETTE = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7"),
    *("#b8a200", "#56b4e9", "#7a4ea3", "#e69f00"),
)


_LUMINANCE = 0.19
"""Of further colours: as far from white as from a dark page, about 4.4 to 1."""


@cache
def colour(index: int) -> str:
    """Return the colour of the class, optimizer, … number `index`; never runs out."""
    if index < len(_PALETTE):
        return _PALETTE[index]
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        found = _hex(colorsys.hls_to_rgb((index * 0.618034) % 1, middle, 0.55))
        low, high = (low, middle) if luminance(found) > _LUMINANCE else (middle, high)
    return found


def shade(colour: str) -> str:
    """Return a colour for CSS that is another one on a dark page where `NIGHT` says so."""
    return f"var(--x{colour[1:]})" if colour in NIGHT else colour


def _hex(rgb: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in rgb)


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb`, in [0, 1] (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def text_on(colour: str) -> str:
    """Return the colour of text on `#rrggbb`, whichever can be read better."""
    found = luminance(colour) + 0.05
    return ON_DARK if 1.05 / found > found / (luminance(INK) + 0.05) else INK


MOST_LABELS = 40
"""On an axis."""
LONGEST = 24
"""Characters of a name on an axis or in a legend."""


def short(name: str, longest: int = LONGEST) -> str:
    """Return a name without its middle where it is too long."""
    if len(name) <= longest:
        return name
    end = (longest - 1) // 3
    return f"{name[: longest - 1 - end]}…{name[len(name) - end :]}"


def words(text: str) -> str:
    """Return text from outside as a figure shows it: plotly reads HTML, and `%{…}` on hover."""
    return str(escape(text)).replace("%{", "&#37;{")


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
    Of very many places only some are labelled.
    """
    more.setdefault("range", [-0.5, len(labels) - 0.5])
    ticks = list(range(0, len(labels), ceil(len(labels) / MOST_LABELS) or 1))
    names = [words(short(labels[tick])) for tick in ticks]
    return axis(title, tickvals=ticks, ticktext=names, showgrid=False, **more)


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
            "paper_bgcolor": CLEAR,
            "plot_bgcolor": CLEAR,
            "hoverlabel": {"font": {"family": FONT}},
            **layout,
        }
    )
