"""A page in one HTML file that opens without a network."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template

from plotly.offline import get_plotlyjs

from sweep.pages.markup import esc


def document(
    *,
    kind: str,
    title: str,
    subtitle: str,
    anchors: Iterable[tuple[str, str]],
    sections: Sequence[str],
) -> str:
    """Return the whole page.

    Args:
        kind: What the page is, for the browser's title: `sweep report`.
        title: Plain text.
        subtitle: Plain text.
        anchors: Key of each section and what the bar at the top calls it.
        sections: Made by `sweep.pages.markup.section`.
    """
    here = Path(__file__).parent
    return Template((here / "page.html").read_text(encoding="utf-8")).substitute(
        kind=esc(kind),
        title=esc(title),
        subtitle=esc(subtitle),
        css=(here / "page.css").read_text(encoding="utf-8"),
        plotly=get_plotlyjs(),
        anchors="\n".join(f'<a href="#{key}">{esc(name)}</a>' for key, name in anchors),
        sections="\n".join(sections),
    )
