"""From a trainer's name in a sweep file to the callable that trains."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import cast

from sweep.errors import InputError, nearest
from sweep.training.contract import Trainer

BUILT_IN: Mapping[str, str] = MappingProxyType(
    {"ultralytics": "sweep.training.ultralytics.trainer:train"}
)
"""Trainers a sweep file may name by one word; a sweep from the network may name only these."""


def check(name: str) -> None:
    """Check that a sweep file's `trainer:` can be found. A built-in one is not imported.

    Raises:
        InputError: If not; the one line says what to write. The caller adds file and field.
    """
    if name not in BUILT_IN:
        resolve(name)


def resolve(name: str) -> Trainer:
    """Import and return a trainer: a built-in name, or `package.module:callable`.

    Modules are looked for on the Python path and in the current folder.

    Raises:
        InputError: If there is no such trainer; the one line says what to write.
    """
    module_name, colon, attribute = BUILT_IN.get(name, name).partition(":")
    if not (colon and module_name and attribute):
        raise InputError(
            f"trainer '{name}' is neither built in nor of the form package.module:callable; "
            f"{nearest(name, BUILT_IN)}"
        )
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a user's module may raise anything
        raise InputError(
            f"trainer '{name}': module {module_name} cannot be imported "
            f"({type(error).__name__}: {error}); it must be on the Python path or in {here}"
        ) from error
    found = getattr(module, attribute, None)
    if not callable(found):
        named = [word for word, value in vars(module).items() if callable(value)]
        raise InputError(
            f"trainer '{name}': {module_name} has no callable '{attribute}'; "
            f"{nearest(attribute, (word for word in named if not word.startswith('_')))}"
        )
    return cast(Trainer, found)
