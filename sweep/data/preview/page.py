"""`preview.html`: what was read, mended and written, for the eye."""

from bisect import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import log10
from typing import Any

import plotly.graph_objects as go

from sweep.data.packing.folder import Plan
from sweep.data.prepared import SPLITS, PreparedDataset, Split
from sweep.data.preview.contact_sheet import PICTURES, contact_sheet
from sweep.data.preview.fixes_section import MAX_ROWS, first_rows, mended_section
from sweep.data.preview.report import boxes_before, boxes_per_class, similar_images, warnings
from sweep.pages import theme
from sweep.pages.document import Section, document
from sweep.pages.table import Cell, Table, number

SIDES_PX = (0, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512)
"""Lower limits of the classes of box sizes; COCO calls boxes below 32 small, from 96 large."""
_SPLIT_COLOURS: dict[Split, str] = {
    "train": theme.ACCENT,
    "val": theme.colour(1),
    "test": theme.MUTED,
}


def preview(plan: Plan, dataset: PreparedDataset) -> str:
    """Return the page; the same for the same input. The images have been written."""
    images, boxes = sum(dataset.images_per_split.values()), sum(dataset.boxes_per_split.values())
    return document(
        kind="prepared dataset",
        title=dataset.name,
        subtitle=f"{images} images, {boxes} boxes, {len(dataset.classes)} classes",
        templates="data/preview/templates",
        sections=[
            Section(key="dataset", name="Dataset", content=_dataset_section(plan, dataset)),
            Section(key="classes", name="Classes", content=_class_section(plan)),
            Section(key="sizes", name="Sizes", content=_size_section(plan)),
            Section(key="pictures", name="Pictures", content=_picture_section(plan, dataset)),
            Section(key="mended", name="Mended", content=mended_section(plan)),
        ],
    )


def _dataset_section(plan: Plan, dataset: PreparedDataset) -> dict[str, Any]:
    spec, source = plan.spec, plan.clean.source
    split = "as the source has it"
    if spec.split:
        ratios = ", ".join(f"{name} {getattr(spec.split, name):g}" for name in SPLITS)
        split = f"{ratios}, seed {spec.split.seed}"
    pairs = [
        ("fingerprint", dataset.fingerprint),
        ("size", f"{spec.size} px, {spec.resize}" if spec.size else spec.resize),
        ("split", split),
        ("images", ", ".join(f"{name} {dataset.images_per_split[name]}" for name in SPLITS)),
        ("boxes", ", ".join(f"{name} {dataset.boxes_per_split[name]}" for name in SPLITS)),
        ("images left out", str(len(source.left_out))),
        ("images turned as EXIF says", str(sum(image.turned for image in plan.images))),
        ("groups of images that look alike", str(len(similar_images(plan)))),
    ]
    return {"pairs": pairs, "warnings": warnings(plan)[:MAX_ROWS]}


def _class_section(plan: Plan) -> dict[str, Any]:
    classes, before, after = plan.clean.classes, boxes_before(plan), boxes_per_class(plan)
    rows: list[Sequence[Cell | str]] = []
    for name, summed in (*((name, [name]) for name in classes), ("all", classes)):
        found = [
            sum(boxes[split][one] for one in summed)
            for split in SPLITS
            for boxes in (before, after)
        ]
        totals = (sum(found[::2]), sum(found[1::2]))
        rows.append((name, *(number(count, 0) for count in (*totals, *found))))
    head = ["class", "before", "after"]
    head += [f"{split}, {when}" for split in SPLITS for when in ("before", "after")]
    caption = "Boxes per class and split, before and after mending"
    return {
        "counts": Table(head=head, rows=rows, caption=caption),
        "classes": classes,
        "boxes": after,
        "draw": _draw_classes,
        "merged": _merged(plan),
    }


def _draw_classes(classes: Sequence[str], boxes: Mapping[Split, Mapping[str, int]]) -> go.Figure:
    most = max((count for counts in boxes.values() for count in counts.values()), default=1)
    drawing = theme.figure(
        title="Boxes of each class, after",
        # From below 1, so that a single box is seen; with room for the largest number.
        x=theme.axis("boxes", type="log", dtick=1, range=[log10(0.7), log10(max(most, 1) * 1.5)]),
        y=theme.places("", classes, autorange="reversed", range=None),
        height=120 + 54 * len(classes),
        legend="above",
        barmode="group",
    )
    for split in SPLITS:
        counts = [boxes[split][name] or None for name in classes]
        drawing.add_bar(
            x=counts,
            y=list(range(len(classes))),
            name=split,
            orientation="h",
            marker_color=_SPLIT_COLOURS[split],
            text=counts,
            textposition="outside",
            cliponaxis=False,
        )
    return drawing


def _merged(plan: Plan) -> Table | None:
    """Return which source classes each class was merged from; None if all kept their names."""
    names: dict[int, list[str]] = {}
    for name, label in plan.clean.labels.items():
        names.setdefault(label, []).append(name)
    merged = {plan.clean.classes[label]: found for label, found in sorted(names.items())}
    if all(found == [name] for name, found in merged.items()):
        return None
    return Table(
        head=["class", "merged from"],
        rows=[[name, Cell(text=", ".join(found), style="wide")] for name, found in merged.items()],
        caption="Classes of the source",
    )


def box_sizes(plan: Plan) -> dict[Split, list[float]]:
    """Return the share of each split's boxes in each class of `SIDES_PX`.

    A box's size is the root of its area in the prepared image, px.
    """
    limits = [side * side for side in SIDES_PX]
    shares: dict[Split, list[float]] = {}
    for split in SPLITS:
        areas = [box.corners[2] * box.corners[3] for image in plan.of(split) for box in image.boxes]
        found = Counter(bisect(limits, area) - 1 for area in areas)
        shares[split] = [found[place] / max(len(areas), 1) for place in range(len(SIDES_PX))]
    return shares


def _draw_sizes(sizes: Mapping[Split, Sequence[float]]) -> go.Figure:
    limits = [f"{low} to {high}" for low, high in pairwise(SIDES_PX)]
    drawing = theme.figure(
        title="Sizes of boxes: root of the area in the prepared image",
        x=theme.places("px", [*limits, f"{SIDES_PX[-1]} and more"]),
        y=theme.axis("share of the split's boxes", tickformat=".0%"),
        legend="above",
        barmode="group",
    )
    for split, shares in sizes.items():
        drawing.add_bar(
            x=list(range(len(SIDES_PX))), y=shares, name=split, marker_color=_SPLIT_COLOURS[split]
        )
    return drawing


def _size_section(plan: Plan) -> dict[str, Any]:
    sides = Counter((image.width, image.height) for image in plan.clean.source.images)
    return {
        "sizes": box_sizes(plan),
        "draw": _draw_sizes,
        "source": first_rows(
            "sizes of source images",
            ["source images, px", "count"],
            [[f"{width} x {height}", number(n, 0)] for (width, height), n in sides.most_common()],
        ),
    }


def _picture_section(plan: Plan, dataset: PreparedDataset) -> dict[str, Any]:
    return {
        "most": PICTURES,
        "colours": [
            (name, theme.colour(place), "solid") for place, name in enumerate(dataset.classes)
        ],
        "pictures": contact_sheet(plan, dataset),
    }
