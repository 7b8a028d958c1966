"""The part of `preview.html` that lists what was mended and left out."""

from collections.abc import Iterator

from sweep.data.annotation_fixes import AnnotationFix, Corners, Reason
from sweep.data.packing.folder import Plan
from sweep.data.preview.report import similar_images
from sweep.pages.markup import NOTHING, Cell, columns, number, section, table

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


def mended_section(plan: Plan) -> str:
    """Return every annotation and image that was mended or left out, with why and how many."""
    mended = {reason: [m for m in plan.clean.mended if m.reason is reason] for reason in Reason}
    kinds = table(
        ["what", "annotations", "what became of them"],
        [
            [Cell(text=reason.value), number(len(found), 0), Cell(text=_MEANING[reason])]
            for reason, found in mended.items()
        ],
        caption="Annotations that were mended or left out",
    )
    lists = (_mendings(reason.value, found) for reason, found in mended.items() if found)
    return section("mended", "Mended", kinds, *lists, columns(_image_lists(plan)))


def _mendings(what: str, found: list[AnnotationFix]) -> str:
    rows = [
        [
            Cell(text=mending.image),
            Cell(text=NOTHING if mending.annotation is None else str(mending.annotation)),
            Cell(text=_box(mending.before)),
            Cell(text=_box(mending.after)),
        ]
        for mending in found[:MAX_ROWS]
    ]
    head = ["image", "annotation", "before", "after"]
    return table(head, rows, caption=first_rows(what, len(found)))


def _image_lists(plan: Plan) -> Iterator[str]:
    left_out = plan.clean.source.left_out
    if left_out:
        reasons = (
            [Cell(text=left.image.name), Cell(text=left.why, style="wide")]
            for left in left_out[:MAX_ROWS]
        )
        yield table(["image", "why"], reasons, caption=first_rows("images left out", len(left_out)))
    lists = {
        "images turned as EXIF says": [image.source for image in plan.images if image.turned],
        "images that look alike": [", ".join(names) for names in similar_images(plan)],
    }
    for what, names in lists.items():
        if names:
            rows = ([Cell(text=name)] for name in names[:MAX_ROWS])
            yield table(["image"], rows, caption=first_rows(what, len(names)))


def first_rows(what: str, count: int) -> str:
    """Return the caption of a table of the first `MAX_ROWS` of `count` rows."""
    more = f", the first {MAX_ROWS}; report.json has all" if count > MAX_ROWS else ""
    return f"{what}: {count}{more}"


def _box(corners: Corners | None) -> str:
    return NOTHING if corners is None else " ".join(f"{value:g}" for value in corners)
