"""The `data.yaml` of a YOLO tree: what it is known by, and where it says that the images are.

https://docs.ultralytics.com/datasets/detect/#ultralytics-yolo-format
"""

import json
import os
import re
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sweep.errors import InputError
from sweep.files.yaml import read_yaml

_PLACES = str | list[str] | None
_SHAPE = MappingProxyType(
    {
        "path": str | None,
        **dict.fromkeys(("train", "val", "validation", "test"), _PLACES),
        "names": list[str] | dict[str, str] | None,
        "download": str | None,
    }
)
"""Where it wants text; class names are taken as written."""
_MAX_NAME = 64


def read_data_yaml(file: Path) -> dict[str, Any]:
    """Read a `data.yaml`; what it says is not checked.

    Raises:
        InputError: If it cannot be read, or its labels are those of another task.
    """
    tree = read_yaml(file, _SHAPE)
    if tree.get("kpt_shape") is not None:
        raise InputError(
            f"{file}: kpt_shape: its labels hold keypoints; must be boxes only, as a sweep trains "
            "detectors"
        )
    if tree.get("validation") is not None:
        tree.setdefault("val", tree["validation"])  # Ultralytics knows both names
    return tree


def is_data_yaml(found: Mapping[str, Any]) -> bool:
    """Whether a YAML file is a `data.yaml` rather than a dataset file."""
    return "source" not in found and not found.keys().isdisjoint(("train", "val", "names", "nc"))


def root_of(file: Path, tree: Mapping[str, Any]) -> Path:
    """Return the folder that the places of the images are relative to.

    It is the file's own, or `path`, where Ultralytics looks for that: beside the file, in the
    current folder, and in the folder of datasets of its settings.

    Raises:
        InputError: If there is no such folder.
    """
    path = tree.get("path") or ""
    if not isinstance(path, str):
        raise InputError(f"{file}: path: found {path!r}; must be a text")
    starts = [file.absolute().parent, Path.cwd(), *_datasets_folders()]
    for root in (start / path for start in starts):
        if root.is_dir():
            return root
    address = tree.get("download")
    fetched = isinstance(address, str) and address.startswith("http")
    mend = "correct it, or leave it out: the images are then sought beside this file"
    if fetched:
        mend = f"download it from {address} first, or {mend}"
    raise InputError(f"{file}: path: no such folder: {path}; {mend}")


def _datasets_folders() -> list[Path]:
    """Return where Ultralytics keeps datasets, by its settings and by its default."""
    home = Path.home()
    config = {"darwin": home / "Library" / "Application Support"}.get(
        sys.platform, Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    )
    chosen = os.environ.get("YOLO_CONFIG_DIR")
    settings = (Path(chosen).expanduser() if chosen else config) / "Ultralytics" / "settings.json"
    try:
        folder = json.loads(settings.read_text(encoding="utf-8"))["datasets_dir"]
        return [Path(folder), Path("datasets").absolute()]
    except (OSError, ValueError, LookupError, TypeError):
        return [Path("datasets").absolute()]


def dataset_name(file: Path) -> str:
    """Return a name for the dataset, as a dataset file may have: that of its folder."""
    folder = root_of(file, read_data_yaml(file)).resolve().name
    letters = unicodedata.normalize("NFKD", folder).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", letters).lstrip("._-")[:_MAX_NAME].rstrip("._-")
    return name or "dataset"
