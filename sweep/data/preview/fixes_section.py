"""The part of `preview.html` that lists what was mended and left out."""

from collections.abc import Sequence
from typing import Any

from sweep.data.annotation_fixes import AnnotationFix, Corners, Reason
from sweep.data.packing.folder import Plan
from sweep.data.preview.report import similar_images
from sweep.pages.table import NOTHING, Cell, Table, number

MAX_ROWS = 200
"""Of a table that names annotations or images; `report.json` has all."""

_MEANING = {
    Reason.REPEATED_ID: "kept: its id occurred before; every annotation has a new one",
    Reason.RECOMPUTED: "kept: its box is now the one around its segmentation",
    Reason.DROPPED: "left out: the dataset file drops its class",
    Reason.CROWD: "left out: it marks a group, not an object",
    Reason.WITHOUT_AREA: "left out: less than a pixel of it lies in the image",
    Reason.REPEATED: "left out: the image has the same box of the same class already",
    Reason.CLIPPED: "kept: its box left the image and was cut at the rim",
}


def mended_section(plan: Plan) -> dict[str, Any]:
    """Return every annotation and image that was mended or left out, with why and how many."""
    mended = {reason: [m for m in plan.clean.mended if m.reason is reason] for reason in Reason}
    kinds = Table(
        head=["what", "annotations", "what became of them"],
        rows=[
            [reason.value, number(len(found), 0), _MEANING[reason]]
            for reason, found in mended.items()
        ],
        caption="Annotations that were mended or left out",
    )
    head = ["image", "annotation", "before", "after"]
    lists = [
        first_rows(reason.value, head, [_row(fix) for fix in found])
        for reason, found in mended.items()
        if found
    ]
    left_out = [
        (left.image.name, Cell(text=left.why, style="wide")) for left in plan.clean.source.left_out
    ]
    turned = [[image.source] for image in plan.images if image.turned]
    alike = [[", ".join(names)] for names in similar_images(plan)]
    images = (
        first_rows("images left out", ["image", "why"], left_out),
        first_rows("images turned as EXIF says", ["image"], turned),
        first_rows("images that look alike", ["image"], alike),
    )
    return {"annotations": [kinds, *lists], "images": [table for table in images if table.rows]}


def _row(fix: AnnotationFix) -> list[str]:
    known_as = NOTHING if fix.annotation is None else str(fix.annotation)
    return [fix.image, known_as, _box(fix.before), _box(fix.after)]


def first_rows(what: str, head: Sequence[str], rows: Sequence[Sequence[Cell | str]]) -> Table:
    """Return a table of the first `MAX_ROWS` rows; its caption says how many there are."""
    more = f", the first {MAX_ROWS}; report.json has all" if len(rows) > MAX_ROWS else ""
    return Table(head=head, rows=rows[:MAX_ROWS], caption=f"{what}: {len(rows)}{more}")


def _box(corners: Corners | None) -> str:
    return NOTHING if corners is None else " ".join(f"{value:g}" for value in corners)
