"""What was found in a user's file and what should be there, in the words of a writer of YAML."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import yaml

from sweep.errors import nearest

_MOST_SHOWN = 80
"""Characters of what was found."""
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def shown(found: object) -> str:
    """Return what a file says, as one writes it there."""
    if found is None:
        return "nothing"
    if isinstance(found, bool):
        return str(found).lower()
    text = repr(found) if isinstance(found, str | int | float) else _in_yaml(found)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}…"


def _in_yaml(found: object) -> str:
    try:
        text = yaml.safe_dump(
            found, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000
        )
    except yaml.YAMLError:  # an object of a program, not of a file
        return str(found)
    return " ".join(text.removesuffix("...\n").split())


def should(kind: str, found: object, context: Mapping[str, Any]) -> str:
    """Return what should stand there instead, such as `should be a whole number`.

    Args:
        kind: Pydantic's word for what is wrong.
        found: What stands there.
        context: The limits, choices and keys that pydantic names with it.
    """
    if kind in {"literal_error", "enum", "union_tag_invalid"}:
        words = str(context.get("expected", context.get("expected_tags", "")))
        return nearest(str(context.get("tag", found)), re.findall(r"'([^']*)'", words))
    if kind == "union_tag_not_found":
        return f"must have the key {context.get('discriminator')}"
    wording = _WORDINGS.get(kind, "does not fit here")
    text = wording if isinstance(wording, str) else wording(context)
    if isinstance(found, str) and kind in _NUMERIC and _NUMBER.fullmatch(found):
        return f"{text}; write it without quotes"
    if kind == "string_type" and isinstance(found, int | float):
        return f"{text}; put it in quotes"
    return text


_NUMERIC = frozenset({"int_type", "int_parsing", "float_type", "float_parsing"})
_MAPPING = "should be a mapping of `key: value` lines"
_LIST = "should be a list"
_WHOLE, _ANY_NUMBER = "should be a whole number", "should be a number"
_WORDINGS: Mapping[str, str | Callable[[Mapping[str, Any]], str]] = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type", "mapping_type"), _MAPPING),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "iterable_type"), _LIST),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), _WHOLE),
    "int_parsing_size": "has too many digits",
    **dict.fromkeys(("float_type", "float_parsing"), _ANY_NUMBER),
    "finite_number": "write a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), "should be true or false"),
    **dict.fromkeys(("string_type", "path_type"), "should be text"),
    "string_unicode": "should be text that UTF-8 can hold",
    "none_required": "leave it out",
    "invalid_key": "keys should be text; put it in quotes",
    "greater_than": lambda limits: f"should be more than {limits['gt']:g}",
    "greater_than_equal": lambda limits: f"should be {limits['ge']:g} or more",
    "less_than": lambda limits: f"should be less than {limits['lt']:g}",
    "less_than_equal": lambda limits: f"should be {limits['le']:g} or less",
    "multiple_of": lambda limits: f"should be a multiple of {limits['multiple_of']:g}",
    "too_short": lambda limits: f"should have {limits['min_length']} or more entries",
    "too_long": lambda limits: f"should have {limits['max_length']} entries or fewer",
    "string_too_short": lambda limits: f"should have {_characters(limits['min_length'])} or more",
    "string_too_long": lambda limits: f"should have {_characters(limits['max_length'])} or fewer",
    "string_pattern_mismatch": lambda limits: f"should look like {limits['pattern']}",
}
"""By pydantic's word for what is wrong."""


def _characters(count: int) -> str:
    return f"{count} character{'' if count == 1 else 's'}"


def either(wanted: Iterable[str]) -> str:
    """Join what each kind of value that may stand there should be, into one."""
    texts = dict.fromkeys(wanted)
    if _ANY_NUMBER in texts:  # a whole number is one
        texts.pop(_WHOLE, None)
    return " or ".join(texts).replace(" or should be", " or")
