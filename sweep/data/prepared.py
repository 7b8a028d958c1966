"""A prepared dataset: the folder that `sweep prepare` makes and everything else reads.

<name>-<fingerprint>/
    data.yaml                      plain Ultralytics trains on it
    images/{train,val,test}/000001.jpg
    labels/{train,val,test}/000001.txt
    annotations/{train,val,test}.json   COCO; image ids and file names as in `images`
    packed/{train,val,test}.npy    the images decoded (`sweep.data.packing`); .txt: file names
    report.json                    what was read, mended and written
    preview.html                   the same for the eye, with pictures
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sweep.errors import InputError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class PreparedDataset:
    """A whole prepared dataset on disk."""

    path: Path
    """The folder, absolute."""
    name: str
    fingerprint: str
    """Hash of inputs, settings and code version of the preparation; hexadecimal."""
    classes: tuple[str, ...]
    """Class names; the index is the YOLO class, the index + 1 the COCO category id."""
    images_per_split: dict[Split, int]
    boxes_per_split: dict[Split, int]

    @property
    def data_yaml(self) -> Path:
        """The file plain Ultralytics trains on."""
        return self.path / "data.yaml"

    @property
    def report(self) -> Path:
        """What was read, mended and written, as JSON."""
        return self.path / "report.json"

    @property
    def preview(self) -> Path:
        """The same for the eye: a page with pictures."""
        return self.path / "preview.html"

    def images(self, split: Split) -> Path:
        """Folder of a split's images."""
        return self.path / "images" / split

    def annotations(self, split: Split) -> Path:
        """COCO file of a split."""
        return self.path / "annotations" / f"{split}.json"

    def packed(self, split: Split) -> Path:
        """Array of a split's decoded images; there only if all images have one size."""
        return self.path / "packed" / f"{split}.npy"

    @classmethod
    def load(cls, path: Path) -> "PreparedDataset":
        """Read a folder that `sweep prepare` made.

        Raises:
            InputError: If the folder is not a whole prepared dataset.
        """
        report = path / "report.json"
        try:
            found = json.loads(report.read_text())
            return cls(
                path=path.resolve(),
                name=found["name"],
                fingerprint=found["fingerprint"],
                classes=tuple(found["classes"]),
                images_per_split=found["images_per_split"],
                boxes_per_split=found["boxes_per_split"],
            )
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{path}: not a prepared dataset ({report.name}: {error!r}); run `sweep prepare`"
            ) from error
