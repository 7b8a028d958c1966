"""Ultralytics' architectures: the YAML files of models, read without importing it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sweep.errors import InputError, nearest
from sweep.files.yaml import read_yaml
from sweep.training.ultralytics.installed import package_folder

_SCALE = re.compile(r"(\d+)([nslmx])(.+)?$")
"""Where Ultralytics looks for a size in a name (nn/tasks.py: yaml_model_load)."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What an architecture says of itself."""

    layers: int
    """How many there are; they are numbered from 0."""
    head: str
    """Name of the last layer's module."""
    sizes: tuple[str, ...]
    """Letters of the sizes it comes in; empty where it has one."""
    stride: int
    """Side in px of the coarsest cell of its output; `imgsz` is a multiple of it."""
    parameters: Mapping[str, int]
    """By size, as far as the file's comments tell; under "" where it has one size."""


@cache
def architectures() -> Mapping[str, Path]:
    """Return the files of the installed Ultralytics by every name that a model may have.

    `yolov8n.yaml` is the size n of `yolov8.yaml`.
    """
    found = {}
    for path in sorted((package_folder() / "cfg" / "models").rglob("*.yaml")):
        found[path.name] = path
        sizes = _sizes(path.read_text(encoding="utf-8"))
        for size in () if re.match(r"\D*\d+[a-z]", path.stem) else sizes:  # yolov10n has its own
            found.setdefault(_sized(path.name, size), path)
    for name, path in list(found.items()):  # what P6 models were called before
        if old := re.fullmatch(r"(yolov[58][nsmlx])-p6(\.yaml)", name):
            found[f"{old[1]}6{old[2]}"] = path
    return MappingProxyType(found)


def _sized(name: str, size: str) -> str:
    return re.sub(r"^(\D*\d+)", rf"\g<1>{size}", name, count=1)


def _sizes(text: str) -> tuple[str, ...]:
    block = re.search(r"^scales:.*\n((?:[ #].*\n|\n)*)", text, re.MULTILINE)
    return tuple(re.findall(r"^ +([a-z]):", block[1], re.MULTILINE)) if block else ()


def read_architecture(path: Path) -> Architecture:
    """Read a model's YAML file.

    Raises:
        InputError: If it is none, or names a module that Ultralytics does not have.
    """
    found = read_yaml(path)
    parts = [found.get("backbone"), found.get("head")]
    if not all(isinstance(part, list) and part for part in parts):
        raise InputError(
            f"{path}: no architecture: it has no `backbone` and `head`; name a model's YAML file, "
            "such as 'yolov8n.yaml'"
        )
    layers = [layer for part in parts for layer in part or ()]
    for number, layer in enumerate(layers):
        _check_layer(path, number, layer)
    text = path.read_text(encoding="utf-8")
    return Architecture(
        layers=len(layers),
        head=layers[-1][2],
        sizes=_sizes(text),
        stride=max([32, *map(int, re.findall(r"\bP\d/(\d+)", text))]),
        parameters=_parameters(text),
    )


def architecture_of(model: str) -> Architecture | None:
    """Return the architecture of a model that `check_model` took; None if weights do not tell it.

    Args:
        model: The path of an architecture, or the name of one or of published weights.
    """
    path = Path(model)
    if path.suffix in {".yaml", ".yml"}:
        return read_architecture(path if path.is_file() else architectures()[model])
    if path.name != model:
        return None
    stem = re.sub(r"u$|-oiv7$", "", path.stem)  # yolov5nu is a newer yolov5n
    named = architectures().get(f"{stem}.yaml")
    return None if named is None else read_architecture(named)


def _check_layer(path: Path, number: int, layer: Any) -> None:
    if not isinstance(layer, list) or len(layer) != 4 or not isinstance(layer[2], str):
        raise InputError(f"{path}: layer {number}: must be [from, repeats, module, arguments]")
    module = layer[2]
    if module.startswith(("nn.", "torchvision.ops.")) or module in _modules():
        return
    raise InputError(
        f"{path}: layer {number}: Ultralytics has no module '{module}'; "
        f"{nearest(module, _modules())}"
    )


@cache
def _modules() -> frozenset[str]:
    """Return the modules that Ultralytics' parser of architectures knows."""
    code = (package_folder() / "nn" / "tasks.py").read_text(encoding="utf-8")
    imported = re.search(r"^from ultralytics\.nn\.modules import \(([^)]+)\)", code, re.MULTILINE)
    return frozenset(re.findall(r"\w+", imported[1] if imported else ""))


def _parameters(text: str) -> Mapping[str, int]:
    lines = re.findall(r"^(?: +([a-z]): \[.*)?#.*?([\d,]+) parameters", text, re.MULTILINE)
    return {size: int(count.replace(",", "")) for size, count in lines}


def size_of(name: str) -> str:
    """Return the letter of the size in a model's name; empty where it has none.

    >>> size_of("yolo11s.yaml"), size_of("yolov8.yaml")
    ('s', '')
    """
    found = _SCALE.search(Path(name).stem)
    return found[2] if found else ""
