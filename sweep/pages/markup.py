"""The few pieces of HTML that a report is put together from."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
import plotly.io

NOTHING = "—"
"""What stands where there is no number."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One table cell."""

    text: str
    """Plain text."""
    number: float | None = None
    """What a click on the column's head sorts by; None sorts by the text, nothing last."""
    style: str = ""
    """CSS class."""


def number(value: float | None, digits: int = 3, *, signed: bool = False) -> Cell:
    """Return a number's cell; a signed one is coloured by its sign."""
    if value is None:
        return Cell(text=NOTHING, style="num")
    if not signed:
        return Cell(text=f"{value:.{digits}f}", number=value, style="num")
    rounded = round(value, digits)
    if rounded == 0:
        return Cell(text=f"{0:.{digits}f}", number=value, style="num same")
    shown = f"{rounded:+.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return Cell(text=shown, number=value, style=f"num {'up' if rounded > 0 else 'down'}")


def table(
    head: Sequence[str], rows: Iterable[Sequence[Cell]], *, caption: str, sortable: bool = False
) -> str:
    """Return a table in a box that scrolls sideways where the page is narrow."""
    rows = list(rows)
    numeric = [
        bool(rows) and all("num" in row[place].style.split() for row in rows)
        for place in range(len(head))
    ]
    heads = "".join(
        f'<th scope="col"{" class=num" if right else ""}>'
        + (f'<button type="button">{esc(name)}</button>' if sortable else esc(name))
        + "</th>"
        for name, right in zip(head, numeric, strict=True)
    )
    body = "".join("<tr>" + "".join(map(_td, row)) + "</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{esc(caption)}">'
        f"<table{' class=sortable' if sortable else ''}><caption>{esc(caption)}</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _td(cell: Cell) -> str:
    style = f' class="{cell.style}"' if cell.style else ""
    order = "" if cell.number is None else f' data-v="{cell.number}"'
    return f"<td{style}{order}>{esc(cell.text)}</td>"


def plot(drawing: go.Figure, *, alt: str, caption: str = "") -> str:
    """Return a figure with its description for readers who do not see it.

    The figure goes in as data; the page draws it when all is laid out, at its final width.
    """
    data = plotly.io.to_json(drawing).replace("<", "\\u003c")
    below = f"<figcaption>{esc(caption)}</figcaption>" if caption else ""
    return (
        f'<figure><div class="plot" role="img" aria-label="{esc(alt)}" '
        f'style="height: {drawing.layout.height}px"></div>'
        f'<script type="application/json">{data}</script>{below}</figure>'
    )


def key(entries: Iterable[tuple[str, str, str]]) -> str:
    """Return a legend for several figures: names, colours and CSS border styles of lines."""
    lines = "".join(
        f'<span><i style="border-top: 3px {style} {colour}"></i>{esc(name)}</span>'
        for name, colour, style in entries
    )
    return f'<p class="key">{lines}</p>'


def columns(parts: Iterable[str], style: str = "") -> str:
    """Return parts side by side, as many as fit; with the style `small` more of them."""
    return f'<div class="columns {style}">{"".join(parts)}</div>'


def paragraph(text: str, style: str = "") -> str:
    """Return a paragraph of plain text."""
    return f"<p{f' class={style}' if style else ''}>{esc(text)}</p>"


def section(key: str, title: str, *parts: str) -> str:
    """Return a section with an anchor."""
    return f'<section id="{key}"><h2>{esc(title)}</h2>{"".join(parts)}</section>'


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a list of names and values."""
    rows = "".join(f"<dt>{esc(name)}</dt><dd>{esc(value)}</dd>" for name, value in pairs)
    return f"<dl>{rows}</dl>"


def esc(text: str) -> str:
    """Return plain text as HTML, also for attributes."""
    return html.escape(text, quote=True)
