"""A user's YAML file into plain data."""

import math
import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from sweep.errors import InputError


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Numbers such as `1e-4` are floats, as YAML 1.2 has it; a key written twice is refused.

    Raises:
        InputError: If the file cannot be read, is not UTF-8 or YAML, holds no mapping, or holds
            a number that is not finite.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path}: line {line}: not UTF-8; save the file as UTF-8") from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder; name the YAML file in it") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        found = yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line_text = f"line {mark.line + 1}: " if mark else ""
        problem = error.problem or error.context or "broken"
        raise InputError(f"{path}: {line_text}not YAML: {one_line(problem)}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {one_line(str(error))}") from error
    except RecursionError as error:
        raise InputError(f"{path}: nested too deeply to be a settings file") from error
    if not isinstance(found, dict):
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise InputError(
            f"{path}: found {what} at the top; must be a mapping of `key: value` lines"
        )
    for field, value in _numbers(found):
        if not math.isfinite(value):
            raise InputError(f"{path}: {field}: found {value}; write a finite number")
    return found


def read_value(text: str) -> Any:
    """Read one value as it would stand in a file; what is no YAML is taken as text."""
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.YAMLError:
        return text


def _numbers(found: Any, field: str = "") -> Iterator[tuple[str, float]]:
    """Yield every float in plain data with the dotted name of where it stands."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield from _numbers(value, f"{field}.{key}" if field else str(key))
    elif isinstance(found, list):
        for value in found:
            yield from _numbers(value, field)
    elif isinstance(found, float):
        yield field, found


def one_line(text: str) -> str:
    """Return `text` without line breaks and double blanks."""
    return " ".join(text.split())


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses keys written twice and reads `1e-4` as a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"key '{key}' is written twice; keep one", key_node.start_mark
                    )
                seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        # What PyYAML lets out for values such as 2024-13-45 or `!!int ""`.
        except (ValueError, LookupError, AttributeError, OverflowError) as error:
            raise yaml.constructor.ConstructorError(
                None, None, f"not a valid value: {error}", node.start_mark
            ) from error


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), "-+0123456789"
)
