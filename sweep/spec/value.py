"""One setting's value, and its form where only scalars can be stored."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import PlainValidator

from sweep.files.wording import shown
from sweep.training.contract import Scalar, Value

_SCALARS = get_args(Scalar)


def _checked(found: Any) -> Any:
    """Return what a file says if it is a setting's value."""
    items = found if isinstance(found, list | tuple) else [found]
    for item in items:
        if not isinstance(item, _SCALARS):
            raise ValueError(
                f"found {shown(found)}; write a number, true or false, a word in quotes, or a list "
                "of these"
            )
    if isinstance(found, str) and isinstance(from_scalar(found), list):
        raise ValueError(f"found {shown(found)}, the text of a list; write it without quotes")
    return list(found) if isinstance(found, tuple) else found


SettingValue = Annotated[Value, PlainValidator(_checked)]
"""A setting's value in a sweep file."""


def as_scalar(value: Value) -> Scalar:
    """Return a value as Optuna and the tables of slots hold it: a list as its JSON text."""
    return json.dumps(value) if isinstance(value, list) else value


def as_given(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a slot's settings as the sweep file gave them."""
    return {name: from_scalar(value) for name, value in params.items()}


def from_scalar(stored: Scalar) -> Value:
    """Return the value that `as_scalar` made `stored` of; no sweep file names such a text."""
    if not isinstance(stored, str) or not stored.startswith("["):
        return stored
    try:
        found = json.loads(stored)
    except ValueError:
        return stored
    return found if json.dumps(found) == stored else stored
