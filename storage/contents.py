"""What lies in the JSON of our tables: whether it can be what a worker wrote there.

Everything that looks may then take it as it is.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any


def fault_of_params(params: Mapping[str, Any]) -> str | None:
    """Say what is wrong with a slot's settings; None where nothing is."""
    for name, value in params.items():
        if not (all(map(_scalar, value)) if isinstance(value, list) else _scalar(value)):
            return f"slots.params: found {ascii(value)[:40]} as {ascii(name)[:40]}"
    return None


def fault_of_report(report: Mapping[str, Any]) -> str | None:
    """Say what is wrong with an epoch's report; None where nothing is."""
    return _first("epochs.report", report, _REPORT)


def fault_of_result(result: Mapping[str, Any] | None) -> str | None:
    """Say what is wrong with the result of a complete slot; None where nothing is."""
    if result is None:
        return "slots.result: found nothing, though it is complete"
    missing = next((name for name in ("map50", "map50_95") if name not in result), None)
    if missing is not None:
        return f"slots.result: found no {missing}"
    return _first("slots.result", result, _RESULT)


def _first(
    place: str, found: Mapping[str, Any], checks: Mapping[str, Callable[[Any], bool]]
) -> str | None:
    for name, fits in checks.items():
        if name in found and not fits(found[name]):
            return f"{place}: found {ascii(found[name])[:40]} as {name}"
    return None


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _numbers(value: Any) -> bool:
    return _mapping(value) and all(one is None or _number(one) for one in value.values())


def _mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _texts(value: Any) -> bool:
    return _mapping(value) and all(isinstance(one, str) for one in value.values())


def _path(value: Any) -> bool:
    return value is None or (isinstance(value, str) and "\0" not in value)


def _per_class(value: Any) -> bool:
    return isinstance(value, list) and all(map(_class_score, value))


def _class_score(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"name", "ap50", "ap"}
        and isinstance(value["name"], str)
        and all(value[name] is None or _number(value[name]) for name in ("ap50", "ap"))
    )


def _scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | bool) or _number(value)


_MEASURES = ("map50", "map50_95", "precision", "recall", "last_map50", "last_map50_95")
_REPORT: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("epoch", *_MEASURES, "seconds"), _number),
    **dict.fromkeys(("losses", "lr"), _numbers),
}
_RESULT: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys((*_MEASURES, "best_epoch", "epochs", "seconds"), _number),
    **dict.fromkeys(("images_shared", "images_loaded"), _number),
    **dict.fromkeys(("checkpoint", "evaluation"), _path),
    "effective": _mapping,
    "environment": _texts,
    "per_class": _per_class,
}
"""What fits each part of a report or a result; an older version may have left some out."""
