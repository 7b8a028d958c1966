"""`preview.html`: what was read, mended and written, for the eye."""

from bisect import bisect
from collections import Counter
from itertools import pairwise
from math import log10

from sweep.data.packing.folder import Plan
from sweep.data.prepared import SPLITS, PreparedDataset, Split
from sweep.data.preview.contact_sheet import PICTURES, contact_sheet
from sweep.data.preview.fixes_section import MAX_ROWS, first_rows, mended_section
from sweep.data.preview.report import boxes_before, boxes_per_class, similar_images, warnings
from sweep.pages import theme
from sweep.pages.document import document
from sweep.pages.markup import Cell, definitions, key, number, paragraph, plot, section, table

SIDES_PX = (0, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512)
"""Lower limits of the classes of box sizes; COCO calls boxes below 32 small, from 96 large."""
ANCHORS = {
    "dataset": "Dataset",
    "classes": "Classes",
    "sizes": "Sizes",
    "pictures": "Pictures",
    "mended": "Mended",
}

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
        anchors=ANCHORS.items(),
        sections=[
            _dataset_section(plan, dataset),
            _class_section(plan),
            _size_section(plan),
            _picture_section(plan, dataset),
            mended_section(plan),
        ],
    )


def _dataset_section(plan: Plan, dataset: PreparedDataset) -> str:
    spec, source = plan.spec, plan.clean.source
    split = "as the source has it"
    if spec.split:
        ratios = ", ".join(f"{name} {getattr(spec.split, name):g}" for name in SPLITS)
        split = f"{ratios}, seed {spec.split.seed}"
    found = warnings(plan)
    rows = [
        ("fingerprint", dataset.fingerprint),
        ("size", f"{spec.size} px, {spec.resize}" if spec.size else spec.resize),
        ("split", split),
        ("images", ", ".join(f"{name} {dataset.images_per_split[name]}" for name in SPLITS)),
        ("boxes", ", ".join(f"{name} {dataset.boxes_per_split[name]}" for name in SPLITS)),
        ("images left out", str(len(source.left_out))),
        ("images turned as EXIF says", str(sum(image.turned for image in plan.images))),
        ("groups of images that look alike", str(len(similar_images(plan)))),
    ]
    more = [paragraph(line) for line in found[:MAX_ROWS]] or [paragraph("Nothing to warn of.")]
    return section("dataset", "Dataset", definitions(rows), "<h3>Warnings</h3>", *more)


def _class_section(plan: Plan) -> str:
    before, after = boxes_before(plan), boxes_per_class(plan)
    head = ["class", "before", "after"]
    head += [f"{split}, {when}" for split in SPLITS for when in ("before", "after")]
    counts = [
        (name, [(before[split][name], after[split][name]) for split in SPLITS])
        for name in plan.clean.classes
    ]
    sums = [(sum(before[split].values()), sum(after[split].values())) for split in SPLITS]
    rows = []
    for name, found in (*counts, ("all", sums)):
        totals = (sum(one for one, _ in found), sum(other for _, other in found))
        numbers = [number(value, 0) for pair in (totals, *found) for value in pair]
        rows.append([Cell(text=name), *numbers])
    most = max((count for split in SPLITS for count in after[split].values()), default=1)
    drawing = theme.figure(
        title="Boxes of each class, after",
        # From below 1, so that a single box is seen; with room for the largest number.
        x=theme.axis("boxes", type="log", dtick=1, range=[log10(0.7), log10(max(most, 1) * 1.5)]),
        y=theme.places("", plan.clean.classes, autorange="reversed", range=None),
        height=120 + 54 * len(plan.clean.classes),
        legend="above",
        barmode="group",
    )
    for split in SPLITS:
        counts_after = [after[split][name] or None for name in plan.clean.classes]
        drawing.add_bar(
            x=counts_after,
            y=list(range(len(plan.clean.classes))),
            name=split,
            orientation="h",
            marker_color=_SPLIT_COLOURS[split],
            text=counts_after,
            textposition="outside",
            cliponaxis=False,
        )
    return section(
        "classes",
        "Classes",
        table(head, rows, caption="Boxes per class and split, before and after mending"),
        plot(drawing, alt="Boxes of each class in each split, on a logarithmic axis"),
        _merged(plan),
    )


def _merged(plan: Plan) -> str:
    """Return which source classes each class was merged from; nothing if all kept their names."""
    names: dict[int, list[str]] = {}
    for name, label in plan.clean.labels.items():
        names.setdefault(label, []).append(name)
    merged = {plan.clean.classes[label]: found for label, found in sorted(names.items())}
    if all(found == [name] for name, found in merged.items()):
        return ""
    rows = (
        [Cell(text=name), Cell(text=", ".join(found), style="wide")]
        for name, found in merged.items()
    )
    return table(["class", "merged from"], rows, caption="Classes of the source")


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


def _size_section(plan: Plan) -> str:
    limits = [f"{low} to {high}" for low, high in pairwise(SIDES_PX)]
    drawing = theme.figure(
        title="Sizes of boxes: root of the area in the prepared image",
        x=theme.places("px", [*limits, f"{SIDES_PX[-1]} and more"]),
        y=theme.axis("share of the split's boxes", tickformat=".0%"),
        legend="above",
        barmode="group",
    )
    for split, shares in box_sizes(plan).items():
        drawing.add_bar(
            x=list(range(len(SIDES_PX))), y=shares, name=split, marker_color=_SPLIT_COLOURS[split]
        )
    sides = Counter((image.width, image.height) for image in plan.clean.source.images)
    sizes = table(
        ["source images, px", "count"],
        [
            [Cell(text=f"{width} x {height}"), number(count, 0)]
            for (width, height), count in sides.most_common(MAX_ROWS)
        ],
        caption=first_rows("sizes of source images", len(sides)),
    )
    return section("sizes", "Sizes", plot(drawing, alt="Shares of box sizes by split"), sizes)


def _picture_section(plan: Plan, dataset: PreparedDataset) -> str:
    colours = ((name, theme.colour(place), "solid") for place, name in enumerate(dataset.classes))
    rule = f"Up to {PICTURES} images: the first of each class in turn."
    return section(
        "pictures", "Pictures", paragraph(rule), key(colours), contact_sheet(plan, dataset)
    )
