"""A page in one HTML file that opens without a network."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import plotly.io
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from sweep.pages import theme

_ENVIRONMENT = Environment(
    loader=PackageLoader("sweep", ""),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
# A figure goes in as data; the page draws it when all is laid out, at its final width.
_ENVIRONMENT.filters["shade"] = theme.shade
_ENVIRONMENT.policies.update(
    {"json.dumps_function": plotly.io.to_json, "json.dumps_kwargs": {"validate": False}}
)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page with an anchor."""

    key: str
    """Its anchor, and the name of its template."""
    name: str
    """What the bar at the top calls it."""
    content: Mapping[str, Any]
    """What its template shows, by the names it has there."""


def document(
    *, kind: str, title: str, subtitle: str, templates: str, sections: Iterable[Section]
) -> str:
    """Return the whole page.

    Args:
        kind: What the page is, for the browser's title: `sweep report`.
        title: Plain text, as `kind` and `subtitle`.
        subtitle: The line below the title.
        templates: The folder of the sections' templates, below `sweep/`.
        sections: From the top.
    """
    parts = []
    for section in sections:
        template = _ENVIRONMENT.get_template(f"{templates}/{section.key}.html")
        parts.append((section, Markup(template.render(section.content))))
    return _ENVIRONMENT.get_template("pages/templates/page.html").render(
        kind=kind,
        title=title,
        subtitle=subtitle,
        plotly=get_plotlyjs(),
        night=theme.NIGHT,
        parts=parts,
    )
