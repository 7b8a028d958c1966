"""The photos that `bench/peers.py` trains on."""

import json
import shutil
from pathlib import Path

from sweep.data.dataset_file import DatasetSpec
from sweep.data.prepare import prepare
from sweep.data.prepared import PreparedDataset

SIZE_PX = 160


def prepare_photos(bccd: Path, folder: Path, *, train: int, val: int) -> PreparedDataset:
    """Prepare the first photos of BCCD for training and the next ones for validation.

    Writes `tree`, `photos.yaml` and `prepared` into `folder`.

    Args:
        bccd: Folder with `annotations.json` and `images`.
        folder: Where to write.
        train: Photos for training.
        val: Photos for validation.
    """
    document = json.loads((bccd / "annotations.json").read_text())
    photos = sorted(document["images"], key=lambda photo: photo["file_name"])
    rows: dict[int, list[str]] = {photo["id"]: [] for photo in photos}
    sizes = {photo["id"]: (photo["width"], photo["height"]) for photo in photos}
    classes = [category["id"] for category in document["categories"]]
    for box in document["annotations"]:
        x, y, width, height = box["bbox"]
        across, down = sizes[box["image_id"]]
        centre = (x + width / 2) / across, (y + height / 2) / down
        numbers = (*centre, width / across, height / down)
        rows[box["image_id"]].append(
            " ".join(map(str, (classes.index(box["category_id"]), *numbers)))
        )
    tree = folder / "tree"
    for split, chosen in (("train", photos[:train]), ("val", photos[train : train + val])):
        for kind in ("images", "labels"):
            (tree / kind / split).mkdir(parents=True)
        for photo in chosen:
            image = tree / "images" / split / photo["file_name"]
            shutil.copyfile(bccd / "images" / photo["file_name"], image)
            labels = tree / "labels" / split / f"{image.stem}.txt"
            labels.write_text("\n".join(rows[photo["id"]]))
    names = [category["name"] for category in document["categories"]]
    (tree / "data.yaml").write_text(
        json.dumps({"train": "images/train", "val": "images/val", "names": names})
    )
    (folder / "photos.yaml").write_text(
        json.dumps({"name": "photos", "source": {"yolo": "tree/data.yaml"}, "size": SIZE_PX})
    )
    return prepare(DatasetSpec.load(folder / "photos.yaml"), folder / "prepared")
