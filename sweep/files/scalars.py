"""What an unquoted scalar of a YAML file means where it stands.

YAML 1.1, which PyYAML reads, takes `no` for false, `007` for 7, `1:30` for 90 and `~` for nothing.
Where a file wants text, the text as written is meant.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel

from sweep.errors import InputError

MAX_VALUES = 1_000_000
"""Of one file; anchors within anchors make many out of few."""

_PLAIN_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)?\.?[0-9]*([eE][-+]?[0-9]+)?")
_OTHER_BASE = re.compile(r"[-+]?0[0-9_]+|.*:.*")
"""Octal and sexagesimal, by what looks like another number: 010 is 8, 1:30 is 90."""


@dataclass(frozen=True, kw_only=True)
class PlainScalar:
    """A scalar that is no text to YAML 1.1."""

    text: str
    """As it is written."""
    value: Any = field(compare=False)
    """What YAML 1.1 makes of it."""


def settle(found: Any, shape: Any, path: Path, *, refuse_unclear: bool = False) -> Any:
    """Return plain data: text where `shape` wants text, else what YAML makes of it.

    A key that holds null is left out where `shape` has a default for it.

    Args:
        found: Mappings, lists and texts, with `PlainScalar` for what is none of them.
        shape: Type of the whole: a pydantic model, a mapping from keys to types, or any other.
        path: The file, for messages.
        refuse_unclear: Whether `yes`, `1_000` and the like are refused where text may stand as
            well; else they are true and 1000 there.

    Raises:
        InputError: If a key is written twice, a number is not finite or looks like another one,
            or there are more than `MAX_VALUES` values.
        RecursionError: If something holds itself.
    """
    return _Settling(path, refuse_unclear=refuse_unclear).settle(found, shape, "")


class _Field(NamedTuple):
    shape: Any = Any
    has_default: bool = False


class _Settling:
    """One walk through a file."""

    def __init__(self, path: Path, *, refuse_unclear: bool) -> None:
        self._path = path
        self._refuse_unclear = refuse_unclear
        self._count = 0

    def settle(self, found: Any, shape: Any, where: str) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            raise self._error("", f"more than {MAX_VALUES} values; use fewer anchors")
        branches = _branches(shape)
        if isinstance(found, dict):
            return self._mapping(found, branches, where)
        if isinstance(found, list):
            item = next((item for branch in branches if (item := _item(branch))), Any)
            return [self.settle(value, item, where) for value in found]
        if isinstance(found, PlainScalar):
            return self._scalar(found, branches, where)
        return found

    def _mapping(self, found: dict[Any, Any], branches: list[Any], where: str) -> dict[Any, Any]:
        texts = {key: key.text if isinstance(key, PlainScalar) else str(key) for key in found}
        models = [fields for branch in branches if (fields := _fields(branch)) is not None]
        fields = max(models, key=lambda one: len(one.keys() & set(texts.values())), default=None)
        dicts = [get_args(branch) for branch in branches if get_origin(branch) is dict]
        of_key, of_value = (str, Any) if fields is not None else dicts[0] if dicts else (Any, Any)
        settled: dict[Any, Any] = {}
        for written, value in found.items():
            inside = f"{where}.{texts[written]}" if where else texts[written]
            kind = (fields or {}).get(texts[written], _Field(of_value))
            key = self.settle(written, of_key, inside)
            if key in settled:
                raise self._error(where, f"key '{key}' is written twice; keep one")
            if not (kind.has_default and isinstance(value, PlainScalar) and value.value is None):
                settled[key] = self.settle(value, kind.shape, inside)
        return settled

    def _scalar(self, found: PlainScalar, branches: list[Any], where: str) -> Any:
        text, value = found.text, found.value
        may_be_text = any(map(_is_text, branches))
        may_be_number = int in branches or float in branches
        if value is None:
            return text if text and may_be_text and NoneType not in branches else None
        if isinstance(value, bool):
            fits, clear = bool in branches, text.lower() in {"true", "false"}
        elif isinstance(value, int | float):
            fits, clear = may_be_number, _PLAIN_NUMBER.fullmatch(text) is not None
        else:  # bytes, a date, only by a tag
            fits = clear = False
        if not fits and (may_be_text or (isinstance(value, bool) and may_be_number)):
            return text
        if Any in branches:
            return value
        if isinstance(value, float) and not math.isfinite(value):
            raise self._error(where, f"found {value}; write a finite number")
        if _OTHER_BASE.fullmatch(text) or (may_be_text and self._refuse_unclear and not clear):
            meant = str(value).lower()
            raise self._error(
                where, f"found {text}, which is {meant} in YAML; write {meant}, or put it in quotes"
            )
        return value

    def _error(self, where: str, text: str) -> InputError:
        return InputError(f"{self._path}: {where}: {text}" if where else f"{self._path}: {text}")


def _branches(shape: Any) -> list[Any]:
    """Return the types of a union, none of them annotated."""
    if get_origin(shape) is Annotated:
        return _branches(get_args(shape)[0])
    if get_origin(shape) in {Union, UnionType}:
        return [branch for arm in get_args(shape) for branch in _branches(arm)]
    return [shape]


def _is_text(branch: Any) -> bool:
    if get_origin(branch) is Literal:
        return all(isinstance(word, str) for word in get_args(branch))
    return isinstance(branch, type) and issubclass(branch, str | Path)


def _item(branch: Any) -> Any:
    """Return the type of what a list of this type holds; None if none may stand there."""
    if get_origin(branch) in {list, tuple}:
        return get_args(branch)[0]
    # A model may be written as a list: a searched setting by its choices.
    return None if _fields(branch) is None else bool | int | float | str | None


def _fields(branch: Any) -> dict[str, _Field] | None:
    """Return the keys of a model or of a mapping from keys to types; None if it is neither."""
    if isinstance(branch, Mapping):
        return {key: _Field(shape) for key, shape in branch.items()}
    if isinstance(branch, type) and issubclass(branch, BaseModel):
        return {
            info.alias or key: _Field(info.annotation, not info.is_required())
            for key, info in branch.model_fields.items()
        }
    return None
