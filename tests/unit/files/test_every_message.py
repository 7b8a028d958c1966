"""Every field of every file with many wrong values: one line of ours, none of pydantic's words."""

import copy
import datetime
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from sweep.data.dataset_file import DatasetSpec
from sweep.files.validation import explain
from sweep.spec.sweep_file import SweepSpec

SWEEP: dict[str, Any] = {
    "name": "one",
    "dataset": "shapes.yaml",
    "schedule": "scaled",
    "model": "yolov8n.yaml",
    "trainer": "ultralytics",
    "train": {"imgsz": 64, "freeze": [0, 1], "cos_lr": True, "cache": "ram"},
    "search": {
        "epochs": 2,
        "sampler": "random",
        "trials": 4,
        "pruner": "none",
        "seed": 0,
        "space": {
            "optimizer": ["SGD", "AdamW"],
            "lr0": {"low": 0.01, "high": 0.1, "log": True},
            "scale": {"low": 0.1, "high": 0.5, "step": 0.1},
            "momentum": {"choices": [0.8, 0.9], "when": {"optimizer": ["SGD"]}},
        },
    },
    "objective": "map50",
    "retrain": {"epochs": 3, "baseline": {"optimizer": "SGD", "classes": [0]}},
    "seed": 0,
    "threads": 1,
    "memory_format": "contiguous",
    "precision": "fp32",
    "stream_gb": 1.0,
    "hung_after_s": 60.0,
    "stuck_after_s": 600.0,
    "retries": {"crashed": 1, "oom": 1, "data": 1, "diverged": 1, "lost": 1},
}
COCO: dict[str, Any] = {
    "name": "cells",
    "source": {
        "coco": "a.json",
        "images": "images",
        "coco_url": "https://example.org/a.json",
        "coco_sha256": "0" * 64,
        "download": "flickr_url",
        "gone": "refuse",
        "boxes": "annotated",
        "splits": {"train": "train", "val": "val.txt", "test": "test"},
    },
    "classes": {"cell": ["RBC", "WBC"]},
    "drop": ["Platelet"],
    "damaged": "refuse",
    "size": 320,
    "resize": "letterbox",
    "split": {"train": 0.7, "val": 0.2, "test": 0.1, "seed": 1},
}
DRAWN = COCO | {"source": {"synthetic": "shapes", "images": 12, "seed": 1}}
YOLO = COCO | {"source": {"yolo": "data.yaml"}}
FILES: list[tuple[type[SweepSpec | DatasetSpec], dict[str, Any]]] = [
    (SweepSpec, SWEEP),
    (DatasetSpec, COCO),
    (DatasetSpec, DRAWN),
    (DatasetSpec, YOLO),
]
WRONG: list[Any] = [
    *(None, True, False, 0, 1, -1, 10**30, 0.5, -0.5, 1e300),
    *("", "x", "0.5", "12", "yes", "[0, 1]", "ü" * 300, "two\nlines"),
    *([], {}, [[]], [{}], [None], [True], ["x"], [-1], [[0, 1]], [0, 0], [0.5] * 3, {"x": 1}),
    *({1: 2}, {"x": None}, {None: 1}, {"low": 1}, {"choices": []}, {"x": {"y": ["z"]}}),
    *(datetime.date(2024, 1, 2), datetime.datetime(2024, 1, 2, 3, 4), b"\x00\xff", {"a", "b"}),
]
LIBRARY = re.compile(
    r"(?i:input should|valid (boolean|integer|number|string|list|tuple|dictionary|mapping|path)|"
    r"\binstance\b|pydantic|value error|field required|extra inputs|unable to|function-|"
    r"greater than or equal|less than or equal|for further information|type=)|"
    r"\b(None|True|False)\b|\bdatetime\.|\b(str|int|float|bool|dict|tuple)\b",
)


def places(found: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the way to every value below the top of a file."""
    if at:
        yield at
    if isinstance(found, dict | list):
        for key, value in found.items() if isinstance(found, dict) else enumerate(found):
            yield from places(value, (*at, key))


def changed(found: dict[str, Any], at: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    copied = copy.deepcopy(found)
    here: Any = copied
    for key in at[:-1]:
        here = here[key]
    here[at[-1]] = value
    return copied


def message(kind: type[SweepSpec | DatasetSpec], file: Path, content: Any) -> str | None:
    """Return what a user is told of a file; None if it is right."""
    try:
        kind.model_validate(content)
    except ValidationError as error:
        return explain(error, kind, file)
    return None


@pytest.mark.parametrize(("kind", "right"), FILES, ids=["sweep", "coco", "drawn", "yolo"])
def test_no_message_is_the_librarys(
    kind: type[SweepSpec | DatasetSpec], right: dict[str, Any]
) -> None:
    file = Path("one.yaml")
    assert message(kind, file, right) is None
    told = {
        (at, repr(value)): line
        for at in places(right)
        for value in WRONG
        if (line := message(kind, file, changed(right, at, value))) is not None
    }
    assert len(told) > 200
    assert not [(where, line) for where, line in told.items() if not ours(line, file, where[0])]


def ours(line: str, file: Path, at: tuple[str | int, ...]) -> bool:
    """Whether a message has file and field, in one line without the library's words."""
    said = line.removeprefix(f"{file}: ")
    words = re.sub(r"'[^']*'", "''", said)
    return (
        said != line
        and "\n" not in line
        and len(said) < 1000
        and not LIBRARY.search(words)
        and "{{" not in words  # of a template
        and any(str(key) in said for key in at if isinstance(key, str))
    )


@pytest.mark.parametrize(("kind", "right"), FILES, ids=["sweep", "coco", "drawn", "yolo"])
def test_a_key_that_is_not_one_is_told_with_the_nearest(
    kind: type[SweepSpec | DatasetSpec], right: dict[str, Any]
) -> None:
    for at in [(), *places(right)]:
        here: Any = right
        for key in at:
            here = here[key]
        free = at[-1:] in {("space",), ("classes",), ("when",)}  # its keys are the user's
        if free or not isinstance(here, dict):
            continue
        line = message(kind, Path("one.yaml"), changed(right, (*at, "epohcs"), 1))
        assert line is not None
        assert "epohcs" in line
        assert "allowed: " in line, line


def test_every_field_of_a_file_is_tried() -> None:
    def fields(model: type[BaseModel]) -> set[str]:
        return set(model.model_fields)

    assert set(SWEEP) == fields(SweepSpec)
    assert set(COCO) == fields(DatasetSpec)
