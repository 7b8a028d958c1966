"""The names of models that a sweep can start from, and the nearest one to any other."""

import re
from collections.abc import Collection
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path

from sweep.errors import InputError
from sweep.training.ultralytics import model_kind
from sweep.training.ultralytics.architecture import architectures, read_architecture

ASSETS = frozenset(
    [f"yolov8{size}.pt" for size in "nsmlx"]
    + [f"yolov8{size}-oiv7.pt" for size in "nsmlx"]
    + [f"yolo11{size}.pt" for size in "nsmlx"]
    + [f"yolo12{size}.pt" for size in "nsmlx"]
    + [f"yolo26{size}.pt" for size in "nsmlx"]
    + [f"yolov10{size}.pt" for size in "nsmblx"]
    + [f"yolov9{size}.pt" for size in "tsmce"]
    + [f"yolov5{size}{large}u.pt" for size in "nsmlx" for large in ("", "6")]
    + [f"yolov3{kind}u.pt" for kind in ("", "-spp", "-tiny")]
)
"""Published weights of detectors."""

_SIZES = "tnscmblxe"
"""Letters of sizes, small ones first."""
_TASK = re.compile(r"-(seg|cls|pose|obb|sem|depth|worldv2|world|rtdetr)(?=-|$)")
_SUFFIXES = (".pt", ".yaml")


def check_name(model: str) -> None:
    """Check that a name that is no file is that of published weights or of an architecture.

    Raises:
        InputError: If not, or if it is no detector; the line says what to write.
    """
    if model in ASSETS or (model in architectures() and _is_detector(architectures()[model])):
        return
    suffix = Path(model).suffix
    stem = model.removesuffix(suffix) if suffix in _SUFFIXES else model
    if (kind := model_kind.of_name(stem)) is not None:
        raise InputError(
            f"'{model}' is {kind}; a sweep trains YOLO detectors: {_mend(stem, suffix)}"
        )
    where = (
        "no architecture of Ultralytics"
        if suffix in {".yaml", ".yml"}
        else f"no such file from {Path.cwd()}, and no published detector"
    )
    raise InputError(f"'{model}': {where}; {_mend(stem, suffix)}")


@cache
def _detectors() -> frozenset[str]:
    """Return the names of Ultralytics' architectures of detectors."""
    trainable = {path for path in set(architectures().values()) if _is_detector(path)}
    return frozenset(name for name, path in architectures().items() if path in trainable)


def _is_detector(path: Path) -> bool:
    return read_architecture(path).head in model_kind.DETECTION_HEADS


def _mend(stem: str, suffix: str) -> str:
    """Return the name to write instead."""
    plain = _TASK.sub("", stem)
    if suffix not in _SUFFIXES:
        found = [name for known in (ASSETS, _detectors()) if (name := _nearest(plain, known))]
        if found:
            return f"did you mean {' or '.join(map(repr, found))}?"
        suffix = ".pt"
    known = _detectors() if suffix == ".yaml" else ASSETS
    exact = f"{plain}{suffix}"
    if plain != stem and exact in known:
        return f"write '{exact}'"
    if near := _nearest(plain, known):
        return f"did you mean '{near}'?"
    return f"allowed: {_families(known)}"


def _nearest(stem: str, known: Collection[str]) -> str | None:
    """Return the name most like `stem`, of equals that of the smallest size."""
    ratio, name = max(
        (
            (SequenceMatcher(None, _canonical(stem), _canonical(Path(name).stem)).ratio(), name)
            for name in sorted(known, key=lambda name: (len(name), _place(name), name))
        ),
        key=lambda pair: pair[0],
    )
    return name if ratio >= 0.7 else None


def _canonical(stem: str) -> str:
    """Return a name without what is often confused: `YOLOv11-n` is `yolo11n`."""
    return re.sub(r"[^a-z0-9]", "", stem.lower()).replace("yolov", "yolo")


def _place(name: str) -> int:
    size = re.match(r"\D*\d+([a-z])", name)
    return _SIZES.find(size[1]) if size else -1


def _families(known: Collection[str]) -> str:
    """Return all names, those of several sizes as one: `yolov8[nsmlx].pt`."""
    families: dict[str, str] = {}
    for name in sorted(known, key=lambda name: (_place(name), name)):
        family = re.sub(rf"^(\D*\d+)[{_SIZES}](?=[^a-z]|u)", r"\g<1>*", name)
        size = name[family.find("*")] if "*" in family else ""
        families[family] = families.get(family, "") + size
    return ", ".join(family.replace("*", f"[{families[family]}]") for family in sorted(families))
