"""What a model is for, told without loading it: a sweep trains detectors."""

import pickletools
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

DETECTION_HEADS = ("Detect", "v10Detect")
"""What the last layer of a model is that a sweep can train."""

_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "yoloe": "an open-vocabulary model (YOLOE)",
        "world": "an open-vocabulary model (YOLO-World)",
        "rtdetr": "an RT-DETR model",
        "semantic": "a semantic segmentation model",
        "segment": "a segmentation model",
        "classif": "a classification model",
        "pose": "a pose model",
        "obb": "a model of oriented boxes",
        "depth": "a depth model",
        "nas": "a YOLO-NAS model",
        "sam": "a SAM model",
        "reid": "a re-identification model",
    }
)
"""By what the name of its head or its class contains, in lower case; the first that does."""
_NAMES: Mapping[str, str] = MappingProxyType(
    {
        r"^yoloe": "yoloe",
        r"-world": "world",
        r"rt-?detr": "rtdetr",
        r"-sem\b": "semantic",
        r"-seg\b": "segment",
        r"-cls\b": "classif",
        r"-pose\b": "pose",
        r"-obb\b": "obb",
        r"-depth\b": "depth",
        r"yolo_?nas": "nas",
        r"^(mobile_|fast)?sam": "sam",
        r"-reid\b": "reid",
    }
)
"""The same by what a published name matches."""


def of_class(name: str) -> str | None:
    """Say what a model with this head, or of this class, is; None if nothing else is known of it.

    >>> of_class("Segment26"), of_class("PoseModel"), of_class("Detect")
    ('a segmentation model', 'a pose model', None)
    """
    return next((what for part, what in _KINDS.items() if part in name.lower()), None)


def of_name(stem: str) -> str | None:
    """Say what a model of this published name is; None if nothing else than a detector.

    >>> of_name("yolov8n-seg"), of_name("rtdetr-l"), of_name("yolo11n")
    ('a segmentation model', 'an RT-DETR model', None)
    """
    matching = (kind for name, kind in _NAMES.items() if re.search(name, stem.lower()))
    return next((_KINDS[kind] for kind in matching), None)


def of_weights(path: Path) -> str | None:
    """Say what is in a file of weights; None if it is a detector of Ultralytics, or not known.

    Reads which classes the file names, and runs none of it. Files older than PyTorch 1.6 have
    another form, of which nothing is known here.
    """
    with path.open("rb") as file:
        if not file.read(4).startswith(b"PK"):
            return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            pickled = next((name for name in names if name.endswith("/data.pkl")), None)
            if pickled is None:
                return "no file of weights that PyTorch wrote"
            if any(name.endswith("/constants.pkl") for name in names):
                return "an exported model (TorchScript)"
            classes = _classes(archive.read(pickled))
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        return f"damaged ({error})"
    models = [name for module, name in classes if module == "ultralytics.nn.tasks"]
    if not models:
        foreign = any(module.startswith("models.") for module, _ in classes)
        return "a model of the old YOLOv5" if foreign else "no whole model, as a state_dict is none"
    return of_class(models[0])


def _classes(pickled: bytes) -> list[tuple[str, str]]:
    """Return module and name of each class that a pickle refers to, in order."""
    found: list[tuple[str, str]] = []
    texts: list[str] = []
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            found.append((module, name))
        elif operation.name == "STACK_GLOBAL":
            found.append((texts[-2], texts[-1]) if len(texts) > 1 else ("", ""))
        elif isinstance(argument, str):
            texts.append(argument)
    return found
