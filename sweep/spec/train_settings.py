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
from sweep.files.wording import shown
from sweep.spec.allowed_values import LISTS, OPTIMIZERS, RANGES, TYPES, WORDS, Range, has_type
from sweep.training.contract import Scalar, Value
from sweep.training.ultralytics.installed import package_folder

_SECTIONS = ("Train settings", "Val/Test settings", "Hyperparameters")
"""Sections of `default.yaml` that a training of a detector reads."""
_ELSEWHERE = ("classes", "agnostic_nms")
"""Settings of other sections that it reads, too."""

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
class Setting:
    """One legal setting, as the installed Ultralytics documents it."""

    default: Scalar
    types: frozenset[str]
    numbers: Range | None


def validate_setting(name: str, value: Value) -> None:
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
            default = shown(setting.default)
            raise ValueError(f"'{name}' is empty; leave it out for the default, {default}")
        return
    _check_type(name, value, setting.types)
    if isinstance(value, list):
        if value not in LISTS[name]:
            raise ValueError(f"'{name}' is {shown(value)}, allowed is {LISTS[name].what}")
    elif isinstance(value, str):
        _check_word(name, value)
    elif not isinstance(value, bool):
        _check_number(name, value, setting.numbers)


def _check_type(name: str, value: Value, types: frozenset[str]) -> None:
    if has_type(value, types):
        return
    hint = ""
    if isinstance(value, str) and re.fullmatch(r"[-+]?[\d.]+([eE][-+]?\d+)?|\[.*\]", value):
        hint = "; write it without quotes"
    elif isinstance(value, list) and len(value) == 1 and has_type(value[0], types):
        hint = f"; write {shown(value[0])} without brackets"
    allowed = " or ".join(_TYPE_NAMES[kind] for kind in sorted(types))
    raise ValueError(f"'{name}' is {shown(value)}, allowed is {allowed}{hint}")


_TYPE_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "bool": "true or false",
        "int": "a whole number",
        "float": "a number",
        "list": "a list",
        "str": "a word",
    }
)


def _check_word(name: str, value: str) -> None:
    words = WORDS.get(name)
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


def _check_number(name: str, value: int | float, allowed: Range | None) -> None:
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
        re.findall(r'"(\w+)"', table[1]) if table else [], Range(low=0, high=1)
    )
    settings: dict[str, Setting] = {}
    section = ""
    for line in (folder / "default.yaml").read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"# (.+?) -{5,}", line):
            section = heading[1]
        entry = re.match(r"(\w+):.*# \(([^)]+)\)", line)
        if entry is None or entry[1] in {*_OWNED, *_NOT_DETECTION}:
            continue
        name = entry[1]
        if section not in _SECTIONS and name not in _ELSEWHERE:
            continue
        found = frozenset(re.findall(r"int|float|bool|str|list", entry[2].replace("tuple", "list")))
        settings[name] = Setting(
            default=yaml.safe_load(line)[name],
            types=TYPES.get(name, found),
            numbers=RANGES.get(name, fractions.get(name)),
        )
    return MappingProxyType(settings)
