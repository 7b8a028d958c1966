"""Puts virtual things in the place of real ones in all modules of the product."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

_ROOMS = ("storage", "sweep")


class Instead:
    """A module with some of its names replaced.

    Args:
        module: The module.
        replaced: What its users find in it instead.
    """

    def __init__(self, module: ModuleType, **replaced: Any) -> None:
        self._module = module
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


@contextmanager
def replaced_everywhere(*pairs: tuple[Any, Any]) -> Iterator[None]:
    """Replace objects wherever a module of the product holds them: globals and default arguments.

    Args:
        pairs: An object, and what takes its place.
    """
    by_id = {id(original): (original, other) for original, other in pairs}
    undone: list[tuple[Any, str, Any]] = []

    def put(holder: Any, name: str, value: Any) -> None:
        undone.append((holder, name, getattr(holder, name)))
        setattr(holder, name, value)

    for module in _modules():
        for name, held in list(vars(module).items()):
            if id(held) in by_id and by_id[id(held)][0] is held:
                put(module, name, by_id[id(held)][1])
        for function in _functions(module):
            if function.__defaults__ and any(id(v) in by_id for v in function.__defaults__):
                put(
                    function,
                    "__defaults__",
                    tuple(by_id.get(id(v), (v, v))[1] for v in function.__defaults__),
                )
            kept = function.__kwdefaults__
            if kept and any(id(v) in by_id for v in kept.values()):
                put(
                    function,
                    "__kwdefaults__",
                    {name: by_id.get(id(v), (v, v))[1] for name, v in kept.items()},
                )
    try:
        yield
    finally:
        for holder, name, value in reversed(undone):
            setattr(holder, name, value)


def _modules() -> list[ModuleType]:
    return [
        module
        for name, module in sys.modules.items()
        if isinstance(module, ModuleType) and name.partition(".")[0] in _ROOMS
    ]


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    for held in list(vars(module).values()):
        if isinstance(held, FunctionType) and held.__module__ == module.__name__:
            yield held
        elif isinstance(held, type) and held.__module__ == module.__name__:
            for inner in vars(held).values():
                function = getattr(inner, "__func__", inner)
                if isinstance(function, FunctionType):
                    yield function
