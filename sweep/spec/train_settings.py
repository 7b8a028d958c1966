"""Which training settings a sweep file may name, and which values they take.

Names, types and defaults are read from the installed Ultralytics' own `cfg/default.yaml`, without
importing Ultralytics: checking a sweep file costs no torch. Ranges are those Ultralytics itself
enforces (`ultralytics/cfg/__init__.py: check_cfg`), narrowed where a sweep needs it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import yaml

from sweep.errors import nearest
from sweep.training.contract import Scalar
from sweep.training.ultralytics.installed import package_folder

OPTIMIZERS = ("SGD", "MuSGD", "Adam", "Adamax", "AdamW", "NAdam", "RAdam", "RMSprop")
"""Optimizers Ultralytics can build, as it spells them."""

_SECTIONS = ("Train settings", "Val/Test settings", "Hyperparameters")
"""Sections of `default.yaml` that a training of a detector reads."""

_NOT_DETECTION = frozenset(
    {
        *("overlap_mask", "mask_ratio", "copy_paste", "copy_paste_mode"),  # segmentation
        *("dropout", "auto_augment", "erasing"),  # classification
        *("pose", "kobj", "rle", "angle", "dlog", "dgrad", "dlam"),  # pose, oriented boxes, depth
        *("dnn", "visualize"),  # inference
    }
)
"""Settings of other tasks and modes that stand in those sections."""

_OWNED: Mapping[str, str] = MappingProxyType(
    {
        "task": "a sweep trains detectors",
        "mode": "a sweep trains",
        "model": "write it as `model:` at the top of the sweep file",
        "pretrained": "name the weights as `model:` at the top of the sweep file",
        "data": "write `dataset:` at the top of the sweep file",
        "epochs": "write it under `search:` or `retrain:`",
        "time": "a trial is measured in epochs; write them under `search:` or `retrain:`",
        "seed": "every trial gets its seed from the sweep",
        "deterministic": "every training is deterministic, so that a trial can go on elsewhere",
        "device": "choose it when a worker starts: `sweep worker --device`",
        "amp": "write `precision:` at the top of the sweep file",
        "channels_last": "write `memory_format:` at the top of the sweep file",
        **dict.fromkeys(
            ("project", "name", "exist_ok", "save_dir"), "the sweep chooses the run folder"
        ),
        **dict.fromkeys(("save", "save_period"), "the sweep keeps the checkpoints it needs"),
        "resume": "a trial goes on by itself",
        "val": "a trial is judged on the validation split after every epoch",
        "split": "trials are judged on the validation split, the final models on the test split",
        "save_json": "the evaluation writes the predictions",
        "plots": "the report draws the figures",
        "verbose": "everything a training says is in its train.log",
        "profile": "a trial only trains",
        "cfg": "write the settings under `train:`",
        "single_cls": "merge the classes in the dataset file",
        "compile": "a compiled model cannot go on bit by bit elsewhere",
        "quantize": "a sweep trains in floating point; see `precision`",
        **dict.fromkeys(("distill_model", "dis"), "a sweep trains without a teacher"),
    }
)
"""Settings that the sweep itself decides, with the mend."""


@dataclass(frozen=True, kw_only=True)
class _Range:
    """Legal numbers of one setting."""

    low: float
    high: float = float("inf")
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below

    def __str__(self) -> str:
        if self.high == float("inf"):
            return f"{'greater than' if self.open_low else 'at least'} {self.low:g}"
        left, right = "(" if self.open_low else "[", ")" if self.open_high else "]"
        return f"in {left}{self.low:g}, {self.high:g}{right}"


_RANGES: Mapping[str, _Range] = MappingProxyType(
    {
        **dict.fromkeys(("lr0", "fraction"), _Range(low=0, high=1, open_low=True)),
        **dict.fromkeys(("momentum", "warmup_momentum"), _Range(low=0, high=1, open_high=True)),
        **dict.fromkeys(("batch", "nbs", "max_det"), _Range(low=1)),
        **dict.fromkeys(("patience", "workers", "freeze", "box", "cls", "dfl"), _Range(low=0)),
        **dict.fromkeys(("close_mosaic", "warmup_epochs", "degrees", "shear"), _Range(low=0)),
        "imgsz": _Range(low=32),
        "scale": _Range(low=0, high=1),
    }
)
"""Narrower than Ultralytics; to these come its own CFG_FRACTION_KEYS, in [0, 1]."""
_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"optimizer": OPTIMIZERS, "cache": ("ram",)}
)
_TYPES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "batch": frozenset({"int"}),  # -1 and fractions measure GPU memory: not the same everywhere
        "imgsz": frozenset({"int"}),
        "fraction": frozenset({"float"}),
    }
)
"""Narrower than `default.yaml` says."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One legal setting, as the installed Ultralytics documents it."""

    default: Scalar
    types: frozenset[str]
    numbers: _Range | None


def validate_setting(name: str, value: Scalar) -> None:
    """Check one training setting of an `ultralytics` sweep.

    Raises:
        ValueError: If a sweep file may not say so. The one line names the setting, what was found,
            what is allowed and the mend; the caller adds file and field.
        InputError: If Ultralytics is not installed.
    """
    if name in _OWNED:
        raise ValueError(f"'{name}' is not for a sweep file to set: {_OWNED[name]}")
    legal = legal_settings()
    if name not in legal:
        raise ValueError(f"'{name}' is no training setting of a detector: {nearest(name, legal)}")
    setting = legal[name]
    if value is None:
        if setting.default is not None:
            raise ValueError(f"'{name}' is empty; leave it out for the default, {setting.default}")
        return
    _check_type(name, value, setting.types)
    if isinstance(value, str):
        _check_word(name, value)
    elif not isinstance(value, bool):
        _check_number(name, value, setting.numbers)


def _check_type(name: str, value: Scalar, types: frozenset[str]) -> None:
    fits = (
        ("bool" in types and isinstance(value, bool))
        or ("str" in types and isinstance(value, str))
        or ("int" in types and isinstance(value, int) and not isinstance(value, bool))
        or ("float" in types and isinstance(value, int | float) and not isinstance(value, bool))
    )
    if fits:
        return
    number = isinstance(value, str) and re.fullmatch(r"[-+]?[\d.]+([eE][-+]?\d+)?", value)
    hint = "; write it without quotes" if number else ""
    names = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "a word"}
    allowed = " or ".join(names[kind] for kind in sorted(types))
    raise ValueError(f"'{name}' is {value!r}, allowed is {allowed}{hint}")


def _check_word(name: str, value: str) -> None:
    words = _WORDS.get(name)
    if name == "optimizer" and value.lower() == "auto":
        raise ValueError(
            "'optimizer' is 'auto', which ignores lr0 and momentum: choose one, "
            f"allowed: {', '.join(OPTIMIZERS)}"
        )
    if words is None or value in words:
        return
    if name == "cache" and value == "disk":
        raise ValueError("'cache' is 'disk', which writes into the prepared dataset; use 'ram'")
    same = [word for word in words if word.lower() == value.lower()]
    mend = f"write '{same[0]}'" if same else nearest(value, words)
    raise ValueError(f"'{name}' is '{value}': {mend}")


def _check_number(name: str, value: int | float, allowed: _Range | None) -> None:
    if allowed is not None and value not in allowed:
        hint = "; AutoBatch is not the same everywhere" if name == "batch" else ""
        raise ValueError(f"'{name}' is {value}, allowed is a number {allowed}{hint}")
    if name == "imgsz" and value % 32:
        lower = int(value) // 32 * 32
        raise ValueError(f"'imgsz' is {value}, not a multiple of 32: use {lower} or {lower + 32}")


@cache
def legal_settings() -> Mapping[str, Setting]:
    """Return what a training may set, as the installed Ultralytics, not imported, documents it.

    Raises:
        InputError: If Ultralytics is not installed.
    """
    folder = package_folder() / "cfg"
    code = (folder / "__init__.py").read_text(encoding="utf-8")
    table = re.search(r"^CFG_FRACTION_KEYS = frozenset\((.+?)^\)", code, re.MULTILINE | re.DOTALL)
    fractions = dict.fromkeys(
        re.findall(r'"(\w+)"', table[1]) if table else [], _Range(low=0, high=1)
    )
    settings: dict[str, Setting] = {}
    section = ""
    for line in (folder / "default.yaml").read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"# (.+?) -{5,}", line):
            section = heading[1]
        entry = re.match(r"(\w+):.*# \(([^)]+)\)", line)
        if entry is None or section not in _SECTIONS or entry[1] in {*_OWNED, *_NOT_DETECTION}:
            continue
        name = entry[1]
        found = frozenset(re.findall(r"int|float|bool|str", entry[2]))
        settings[name] = Setting(
            default=yaml.safe_load(line)[name],
            types=_TYPES.get(name, found),
            numbers=_RANGES.get(name, fractions.get(name)),
        )
    return MappingProxyType(settings)
