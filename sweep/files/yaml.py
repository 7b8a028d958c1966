"""A user's YAML file into plain data."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from sweep.errors import InputError
from sweep.files.scalars import PlainScalar, settle


def read_yaml(path: Path, shape: Any = Any, *, refuse_unclear: bool = False) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Where `shape` wants text, an unquoted scalar is taken as written: `no`, `007`, `2024-01-01`.
    Numbers such as `1e-4` are floats, as YAML 1.2 has it; a key written twice is refused.

    Args:
        path: The file.
        shape: Type of the whole, as `settle` takes it.
        refuse_unclear: Whether `yes`, `1_000` and the like are refused where both text and true
            or a number may stand.

    Raises:
        InputError: If the file cannot be read, is not UTF-8 or YAML, holds no mapping, or holds
            a number that is not finite or not clear.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path}: line {line}: not UTF-8; save the file as UTF-8") from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        files = sorted(file.name for file in path.iterdir() if file.suffix in {".yaml", ".yml"})
        such_as = f", such as {files[0]}" if files else ""
        raise InputError(f"{path}: is a folder; name the YAML file in it{such_as}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        found = yaml.load(text, Loader=_Loader)  # a SafeLoader
        if not isinstance(found, dict):
            raise InputError(
                f"{path}: found {_kind(found)} at the top; must be a mapping of `key: value` lines"
            )
        settled: dict[str, Any] = settle(found, shape, path, refuse_unclear=refuse_unclear)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line_text = f"line {mark.line + 1}: " if mark else ""
        problem = one_line(error.problem or error.context or "broken")
        raise InputError(f"{path}: {line_text}not YAML: {problem}{_mend(problem)}") from error
    except yaml.YAMLError as error:
        problem = one_line(str(error))
        raise InputError(f"{path}: not YAML: {problem}; save the file as UTF-8 text") from error
    except RecursionError as error:
        raise InputError(f"{path}: nested too deeply to be a settings file") from error
    return settled


def read_value(text: str, place: Path) -> Any:
    """Read one value as it would stand in a file; what is no YAML is taken as text.

    Args:
        text: The value as it is written.
        place: Where it stands, for messages.

    Raises:
        InputError: If it is a number that is not finite or not clear.
    """
    try:
        found = yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.YAMLError:
        return text
    return settle(found, bool | int | float | str | None, place)


def _kind(found: Any) -> str:
    if isinstance(found, list):
        return "a list"
    nothing = found is None or (isinstance(found, PlainScalar) and found.value is None)
    return "nothing" if nothing else "a single value"


_MENDS = {
    r"'\\t'": "indent with blanks, not tabs",
    r"that cannot start any token|could not determine a constructor|undefined alias|"
    r"while scanning an? (alias|anchor)|expected alphabetic or numeric": "put the text in quotes",
    r"mapping values are not allowed": "put a text that has ': ' in it in quotes",
}
"""What to do about PyYAML's findings."""


def _mend(problem: str) -> str:
    for pattern, mend in _MENDS.items():
        if re.search(pattern, problem):
            return f"; {mend}"
    return ""


def one_line(text: str) -> str:
    """Return `text` without line breaks and double blanks."""
    return " ".join(text.split())


_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses keys written twice and keeps how a scalar is written."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    text = f"key '{key_node.value}' is written twice; keep one"
                    raise yaml.constructor.ConstructorError(None, None, text, key_node.start_mark)
                seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag == _MERGE and isinstance(node, yaml.ScalarNode):
            return node.value  # in a list, where it merges nothing
        try:
            value = super().construct_object(node, deep)
        # What PyYAML lets out for values such as 2024-13-45 or `!!int ""`.
        except (ValueError, LookupError, AttributeError, OverflowError) as error:
            raise yaml.constructor.ConstructorError(
                None, None, f"not a valid value: {error}", node.start_mark
            ) from error
        if isinstance(node, yaml.ScalarNode) and not isinstance(value, str):
            return PlainScalar(text=node.value, value=value)
        return value


def _with_digits(tag: str, pattern: re.Pattern[str]) -> re.Pattern[str]:
    """Return what PyYAML takes for a value of a kind, but for `0x_` and `0b_`, which are none."""
    if not tag.endswith(":int"):
        return pattern
    return re.compile(r"(?![-+]?0[bx]_*$)" + pattern.pattern, pattern.flags)


# Dates and `=` are text, as in YAML 1.2.
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, _with_digits(tag, pattern))
        for tag, pattern in found
        if not tag.endswith((":timestamp", ":value"))
    ]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?([0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+|\.[0-9]+([eE][-+]?[0-9]+)?)$"),
    "-+.0123456789",
)
