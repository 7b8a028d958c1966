"""Writes the folder that `sweep.data.prepared` documents, but for its report."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from sweep.data.cleaning import Box, CleanDataset
from sweep.data.dataset_file import DatasetSpec
from sweep.data.packing.drawing import DrawnImage
from sweep.data.packing.packed import pack
from sweep.data.prepared import SPLITS, PreparedDataset, Split
from sweep.files.atomic_write import write_file, write_json


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that goes into one prepared dataset."""

    spec: DatasetSpec
    clean: CleanDataset
    images: Sequence[DrawnImage]
    splits: Sequence[Split]
    """Split of each image."""
    similar: Sequence[int]
    """For each image the index of the first one of its group of near-identical images."""
    fingerprint: str

    def of(self, split: Split) -> list[DrawnImage]:
        """Return the images of a split by number."""
        return [image for image, own in zip(self.images, self.splits, strict=True) if own == split]

    def dataset(self, folder: Path) -> PreparedDataset:
        """Return the dataset as it will be once it is written to `folder`."""
        images = {split: self.of(split) for split in SPLITS}
        return PreparedDataset(
            path=folder,
            name=self.spec.name,
            fingerprint=self.fingerprint,
            classes=self.clean.classes,
            images_per_split={split: len(found) for split, found in images.items()},
            boxes_per_split={
                split: sum(len(image.boxes) for image in found) for split, found in images.items()
            },
        )


def write_folder(plan: Plan, drawn: Path, dataset: PreparedDataset) -> None:
    """Write a dataset's files, but for its report; their names are not on the disk yet.

    Args:
        plan: What goes into it.
        drawn: Folder of the images as `draw_images` wrote them; they are moved from there.
        dataset: `plan.dataset` of an empty folder on the same disk.

    Raises:
        OSError: If the folder cannot be written.
    """
    for split in SPLITS:
        images, labels = dataset.images(split), dataset.path / "labels" / split
        annotations = dataset.annotations(split)
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        annotations.parent.mkdir(exist_ok=True)
        for image in plan.of(split):
            (drawn / image.file_name).rename(images / image.file_name)
        with ThreadPoolExecutor() as pool:  # they wait for the disk, not for the processor
            list(pool.map(partial(_write_labels, labels), plan.of(split)))
        write_json(annotations, _coco(plan, plan.of(split)))
    write_file(dataset.data_yaml, _data_yaml(plan).encode())
    shapes = {(image.height, image.width) for image in plan.images}
    if len(shapes) == 1:
        for split in SPLITS:
            names = [image.file_name for image in plan.of(split)]
            dataset.packed(split).parent.mkdir(exist_ok=True)
            pack(dataset.images(split), names, dataset.packed(split), *shapes)


def _write_labels(folder: Path, image: DrawnImage) -> None:
    rows = "".join(_label(box, image.width, image.height) for box in image.boxes)
    write_file((folder / image.file_name).with_suffix(".txt"), rows.encode())


def _label(box: Box, wide: int, high: int) -> str:
    x, y, width, height = box.corners
    return (
        f"{box.label} {(x + width / 2) / wide:.6f} {(y + height / 2) / high:.6f} "
        f"{width / wide:.6f} {height / high:.6f}\n"
    )


def _coco(plan: Plan, images: Sequence[DrawnImage]) -> dict[str, Any]:
    boxes = [(image.number, box) for image in images for box in image.boxes]
    return {
        "info": {"description": f"{plan.spec.name} {plan.fingerprint[:12]}"},
        "categories": [
            {"id": label + 1, "name": name} for label, name in enumerate(plan.clean.classes)
        ],
        "images": [
            {
                "id": image.number,
                "file_name": image.file_name,
                "width": image.width,
                "height": image.height,
                "source": image.source,
            }
            for image in images
        ],
        # From 1: pycocotools takes the id 0 for "matched nothing".
        "annotations": [
            {
                "id": number,
                "image_id": image_id,
                "category_id": box.label + 1,
                "bbox": box.corners,
                "area": box.corners[2] * box.corners[3],
                "iscrowd": 0,
                "source_id": box.annotation,
            }
            for number, (image_id, box) in enumerate(boxes, 1)
        ],
    }


def _data_yaml(plan: Plan) -> str:
    """Return what Ultralytics reads.

    Without `path` it takes the folder that the file is in, so the folder may be moved.
    """
    document: dict[str, Any] = {
        split: f"images/{split}" for split in SPLITS if split in set(plan.splits)
    }
    document["names"] = dict(enumerate(plan.clean.classes))
    return yaml.safe_dump(document, sort_keys=False)
