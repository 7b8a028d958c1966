"""What pydantic found wrong with a user's file, as one line."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from sweep.errors import nearest
from sweep.files.wording import either, should, shown
from sweep.files.yaml import one_line


def explain(error: ValidationError, model: type[BaseModel], path: Path) -> str:
    """Return the one line for the user: the file, the field, what was found, what is allowed.

    Of several errors the most telling is taken: in a union those of the branch that fits best,
    and an unknown key before the missing one that it was meant to be.

    Args:
        error: What `model.model_validate` raised.
        model: The model of the whole file.
        path: The file, for the message.
    """
    problems = [_locate(model, details) for details in error.errors(include_url=False)]
    in_branch = Counter(problem.branch for problem in problems)

    def rank(problem: _Problem) -> tuple[bool, int, bool]:
        return (
            problem.at_union,
            in_branch[problem.branch] if problem.branch else 0,
            problem.details["type"] != "extra_forbidden",
        )

    worst = min(problems, key=rank)
    if worst.at_union:  # no branch fits: name them all
        wanted = either(other.should for other in problems if other.field == worst.field)
        text = f"found {shown(worst.details['input'])}; {wanted}"
    else:
        text = worst.text
    where = f"{path}: {worst.field}: " if worst.field else f"{path}: "
    return one_line(where + text)


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """One error of pydantic, placed in the file as the user wrote it."""

    field: str
    """Dotted path in the file, without the names pydantic gives to branches of unions."""
    container: Any
    """Type of the mapping or list that the last step of `field` is in."""
    branch: tuple[int | str, ...]
    """Location up to the last branch of a union; empty outside unions."""
    at_union: bool
    """Whether the branch does not fit at all, rather than something in it."""
    of_key: bool
    """Whether a key itself is wrong, not what stands under it."""
    details: ErrorDetails

    @property
    def text(self) -> str:
        kind, found = self.details["type"], self.details["input"]
        if kind == "extra_forbidden":
            return f"unknown key; {nearest(str(self.details['loc'][-1]), _fields(self.container))}"
        if kind == "missing":
            return "missing; add it"
        if self.of_key:
            return f"found the key {shown(found)}; keys should be text; put it in quotes"
        if kind in {"value_error", "assertion_error"}:
            return self.details["msg"].partition(", ")[2]
        return f"found {shown(found)}; {self.should}"

    @property
    def should(self) -> str:
        kind, found = self.details["type"], self.details["input"]
        if kind in _SELF_WORDED:
            return self.details["msg"]
        return should(kind, found, self.details.get("ctx", {}))


_SELF_WORDED = frozenset({"source_kind"})
"""Kinds of errors that a model of ours has words for (`custom_error_type`)."""


def _locate(model: type[BaseModel], details: ErrorDetails) -> _Problem:
    here: Any = model
    container: Any = model
    branch: tuple[int | str, ...] = ()
    steps: list[int | str] = []
    at_union = False
    way = list(details["loc"])
    if of_key := way[-1:] == ["[key]"] or details["type"] == "invalid_key":
        del way[way.index("[key]") - 1 if "[key]" in way else -1 :]
    for number, step in enumerate(way):
        here, arms = _unwrapped(here)
        at_union = len(arms) > 1
        if at_union:
            here = _arm(arms, str(step))
            branch = details["loc"][: number + 1]
        else:
            container, here = here, _child(here, step)
            steps.append(step)
    field = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return _Problem(
        field=field.removeprefix("."),
        container=container,
        branch=branch,
        at_union=at_union and details["type"] not in {"value_error", "assertion_error"},
        of_key=of_key,
        details=details,
    )


def _unwrapped(annotation: Any) -> tuple[Any, list[Any]]:
    """Return the type below Annotated and Optional, and its branches if it is a union."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in {Union, UnionType}:
            arms = [arm for arm in get_args(annotation) if arm is not NoneType]
            if len(arms) > 1:
                return annotation, arms
            annotation = arms[0]
        else:
            return annotation, []


def _arm(arms: list[Any], label: str) -> Any:
    """Return the branch of a union that pydantic calls `label` in a location."""

    def names(arm: Any) -> Iterator[str]:
        plain = _unwrapped(arm)[0]
        yield from (extra.tag for extra in get_args(arm)[1:] if isinstance(extra, Tag))
        if origin := get_origin(plain):
            yield f"{getattr(origin, '__name__', origin)}["
        else:
            yield getattr(plain, "__name__", str(plain))
        for kind in _fields(plain).values():
            if get_origin(kind) is Literal:
                yield from map(str, get_args(kind))

    for arm in arms:
        if any(
            label == name or (name[-1:] == "[" and label.startswith(name)) for name in names(arm)
        ):
            return arm
    for arm in arms:  # a branch with a validator: function-after[check(), Name]
        if any(re.search(rf"\b{re.escape(name)}", label) for name in names(arm)):
            return arm
    return Any


def _child(annotation: Any, step: int | str) -> Any:
    """Return the type of one key or element of a type."""
    if fields := _fields(annotation):
        return fields.get(str(step), Any)
    arguments = get_args(annotation)
    if isinstance(step, int) and get_origin(annotation) is tuple and Ellipsis not in arguments:
        return arguments[step] if step < len(arguments) else Any
    if not arguments:
        return Any
    return arguments[0] if isinstance(step, int) or len(arguments) == 1 else arguments[1]


def _fields(annotation: Any) -> dict[str, Any]:
    """Return the types of a model's keys as the file has them; nothing if it is no model."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {info.alias or key: info.annotation for key, info in annotation.model_fields.items()}
    return {}
