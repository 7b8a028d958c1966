"""Damaged COCO files: one clear line, exit code 2, nothing written."""

import json
import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweep.data.annotation_fixes import Reason
from sweep.data.cleaning import read_clean
from sweep.errors import InputError
from tests.command import Command
from tests.datasets import load, make_photos

LEFT_OUT = (Reason.DROPPED, Reason.CROWD, Reason.WITHOUT_AREA, Reason.REPEATED)

DOCUMENT: dict[str, Any] = {
    "images": [
        {"id": index, "file_name": f"{index}.jpg", "width": 80, "height": 60} for index in range(3)
    ],
    "annotations": [
        {
            "id": index,
            "image_id": index % 3,
            "category_id": index % 2,
            "bbox": [8, 6, 40, 30 - index],
            "segmentation": [[8, 6, 48, 6, 48, 36]],
            "iscrowd": 0,
        }
        for index in range(4)
    ],
    "categories": [{"id": 0, "name": "cell"}, {"id": 1, "name": "crystal"}],
}

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["../a.jpg", "/a.jpg", "0.jpg", -1, 0, 1, 1e308, {"counts": "e", "size": 3}]),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of everything in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, below in inner:
        found.append((*path, key))
        if isinstance(below, dict | list):
            found += places(below, (*path, key))
    return found


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(places(DOCUMENT)), st.none() | st.tuples(ANYTHING)),
        min_size=1,
        max_size=3,
    ),
    boxes=st.sampled_from(["annotated", "segmentation"]),
)
def test_damage_is_one_line_or_none(tmp_path: Path, changes: list[Any], boxes: str) -> None:
    document = deepcopy(DOCUMENT)
    for path, replacement in changes:
        place: Any = document
        try:
            for step in path[:-1]:
                place = place[step]
            if replacement:
                place[path[-1]] = replacement[0]
            else:
                del place[path[-1]]
        except (LookupError, TypeError):
            continue  # an earlier change took it away
    (tmp_path / "a.json").write_text(json.dumps(document))
    source = {"coco": "a.json", "images": "images", "boxes": boxes}
    split = {"train": 0.5, "val": 0.5, "test": 0}
    spec = load(tmp_path, {"name": "x", "source": source, "size": 64, "split": split})
    try:
        clean = read_clean(spec)
    except InputError as error:
        assert str(error).startswith((f"{tmp_path / 'a.json'}: ", f"{spec.file}: "))
        assert "\n" not in str(error)
        assert len(str(error)) < 600
    else:
        kept = [box for found in clean.boxes for box in found]
        gone = [mending for mending in clean.mended if mending.reason in LEFT_OUT]
        assert len(kept) + len(gone) == len(document["annotations"])
        assert all(math.isfinite(value) for box in kept for value in box.corners)
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "x.yaml"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"bbox": [8, 6, 40, 30]', '"bbox": [NaN, 6, 40, 30]'),
        ('"bbox": [8, 6, 40, 30]', '"bbox": [8, 6, -40, 30]'),
        ('"image_id": 5', '"image_id": 500'),
        ('"height": 60', '"height": "60"'),
        ('"id": 5, "file_name"', '"id": 4, "file_name"'),
        ('"categories"', '"kategories"'),
    ],
)
def test_the_command_says_so_and_writes_nothing(
    tmp_path: Path, sweep: Command, old: str, new: str
) -> None:
    spec = make_photos(tmp_path)
    text = (tmp_path / "a.json").read_text()
    assert old in text
    (tmp_path / "a.json").write_text(text.replace(old, new, 1))
    done = sweep("prepare", spec.file, "--out", tmp_path / "out")
    assert done.code == 2
    assert done.err.startswith(f"sweep: {tmp_path / 'a.json'}: ") and done.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_million_annotations_with_a_fault_in_the_last(tmp_path: Path) -> None:
    count, per_image = 1_000_000, 100
    size = {"width": 640, "height": 640}
    images = [{"id": n, "file_name": f"{n}.jpg", **size} for n in range(count // per_image)]
    annotations: list[dict[str, Any]] = [
        {
            "id": n,
            "image_id": n // per_image,
            "category_id": 0,
            "bbox": [n % per_image, 6, 40, 30],
        }
        for n in range(count)
    ]
    document = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 0, "name": "a"}],
    }
    source = {"coco": "a.json", "images": "images"}
    split = {"train": 0.5, "val": 0.5, "test": 0}
    spec = load(tmp_path, {"name": "x", "source": source, "size": 64, "split": split})
    (tmp_path / "a.json").write_text(json.dumps(document))
    assert sum(map(len, read_clean(spec).boxes)) == count
    annotations[-1]["bbox"][2] = "40"
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(
        InputError, match=r"annotations\[999999\].bbox: found .* must be four finite"
    ):
        read_clean(spec)
