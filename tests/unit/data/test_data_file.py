import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweep.data.cleaning import read_clean
from sweep.data.dataset_file import CocoSource, DatasetSpec
from sweep.data.summary import check
from sweep.errors import InputError

CONFIGS = Path(__file__).parents[3] / "configs" / "datasets"
SHARED = Path(__file__).parents[4] / "shared" / "data"
TACO = SHARED / "taco" / "annotations.json"

GOOD: dict[str, Any] = {
    "name": "cells",
    "source": {"coco": "a.json", "images": "images"},
    "size": 320,
    "split": {"train": 0.7, "val": 0.2, "test": 0.1},
}


def load(folder: Path, document: dict[str, Any]) -> DatasetSpec:
    file = folder / "cells.yaml"
    file.write_text(yaml.safe_dump(document))
    return DatasetSpec.load(file)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    spec = load(tmp_path, GOOD)
    assert spec.source == CocoSource(coco=tmp_path / "a.json", images=tmp_path / "images")
    assert spec.file == tmp_path / "cells.yaml"
    assert spec.resize == "letterbox"


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"sise": 3}, "sise: unknown key; did you mean 'size'?"),
        ({"name": "a/b"}, "name: found 'a/b'; use up to 64 letters"),
        ({"source": None}, "source: found nothing; must have exactly one of the keys coco, yolo"),
        (
            {"source": {"coco": "a", "images": "b", "yolo": "c"}},
            "source: found {coco: a, ima",
        ),
        ({"source": {"coco": "a", "image": "b"}}, "source.image: unknown key; did you mean 'ima"),
        ({"source": {"coco": "a"}}, "source.images: missing; add it"),
        ({"source": {"synthetic": "shape"}}, "source.synthetic: found 'shape'; did you mean 'sha"),
        (
            {"source": {"synthetic": "shapes", "images": 0}},
            "source.images: found 0; should be 1",
        ),
        ({"size": 16}, "size: found 16; should be 32 or more"),
        ({"size": True}, "size: found 'true'; should be a whole number"),
        ({"resize": "none"}, "size: found 320; `resize: none` keeps every image's size"),
        ({"resize": "squash"}, "resize: found 'squash'; allowed: letterbox, none, stretch"),
        ({"classes": {}}, "classes: found no class"),
        ({"classes": {"cell": []}}, "classes: cell: found no source class"),
        ({"classes": {"cell": "RBC"}}, "classes.cell: found 'RBC'; should be a list"),
        ({"classes": {"a": ["x"], "b": ["x"]}}, "classes: source class 'x' is listed twice"),
        ({"classes": {"a": ["x"]}, "drop": ["x"]}, "classes: source class 'x' is listed twice"),
        ({"split": None}, "split: missing; add it, such as"),
        ({"split": {"train": 0.7, "val": 0.3}}, "split.test: missing; add it"),
        ({"split": {"train": 0.7, "val": 0.2, "test": 0.2}}, "split: train 0.7 + val 0.2 + test"),
        ({"split": {"train": 1, "val": 0, "test": 0}}, "split.val: found 0; should be more than 0"),
        ({"split": {"train": 0.9, "val": 0.2, "test": -0.1}}, "split.test: found -0.1; should be"),
        (
            {"split": {"train": float("nan"), "val": 1, "test": 0}},
            "split.train: found nan; write a finite number",
        ),
    ],
)
def test_refuses_in_one_line(tmp_path: Path, wrong: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as raised:
        load(tmp_path, GOOD | wrong)
    assert str(raised.value).startswith(f"{tmp_path / 'cells.yaml'}: {line}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"classes": {"cell": ["RBC", "WCB"]}}, "classes.cell: no class 'WCB'; did you mean 'WBC'"),
        ({"classes": {"cell": ["RBC"]}}, "classes: 1 source classes are in no class (WBC); add "),
        ({"drop": ["RCB"]}, "drop: no class 'RCB'; did you mean 'RBC'? allowed: RBC, WBC"),
        ({"drop": ["RBC", "WBC"]}, "drop: leaves no class; keep one"),
    ],
)
def test_classes_must_fit_the_source(tmp_path: Path, wrong: dict[str, Any], line: str) -> None:
    write_coco(tmp_path, [])
    with pytest.raises(InputError) as raised:
        read_clean(load(tmp_path, GOOD | wrong))
    assert str(raised.value).startswith(f"{tmp_path / 'cells.yaml'}: {line}")


def write_coco(folder: Path, boxes: list[tuple[int, list[float], int]]) -> None:
    document = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 100, "height": 50}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": category, "bbox": bbox, "iscrowd": crowd}
            for category, bbox, crowd in boxes
        ],
        "categories": [{"id": 1, "name": "RBC"}, {"id": 2, "name": "WBC"}],
    }
    (folder / "a.json").write_text(json.dumps(document))


def test_boxes_are_mended_and_every_change_is_counted(tmp_path: Path) -> None:
    write_coco(
        tmp_path,
        [
            (2, [10, 10, 20, 20], 0),
            (2, [10, 10, 20, 20], 0),  # repeated
            (2, [-5, 40, 20, 20], 0),  # clipped
            (2, [200, 10, 20, 20], 0),  # outside
            (2, [10, 10, 0.5, 20], 0),  # less than a pixel wide
            (2, [99.995, 0, 0.01, 9], 0),
            (2, [50, 40, 10, 10.001], 0),  # rounded, not too large
            (2, [0, 0, 9, 9], 1),
            (1, [0, 0, 9, 9], 0),
        ],
    )
    clean = read_clean(load(tmp_path, GOOD | {"drop": ["RBC"]}))
    assert clean.classes == ("WBC",)
    assert [(box.x, box.y, box.width, box.height) for box in clean.boxes[0]] == [
        (10, 10, 20, 20),
        (0, 40, 15, 10),
        (50, 40, 10, 10),
    ]
    assert clean.cleaning == {
        "repeated annotation ids": 8,
        "recomputed": 0,
        "dropped class": 1,
        "crowd": 1,
        "clipped": 1,
        "without area": 3,
        "repeated": 1,
    }


def test_classes_are_merged_in_the_files_order(tmp_path: Path) -> None:
    write_coco(tmp_path, [(1, [0, 0, 9, 9], 0), (2, [20, 20, 9, 9], 0)])
    document = GOOD | {"classes": {"white": ["WBC"], "red": ["RBC"]}}
    file = tmp_path / "cells.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    clean = read_clean(DatasetSpec.load(file))
    assert clean.classes == ("white", "red")
    assert [box.label for box in clean.boxes[0]] == [1, 0]


def test_check_counts_without_images(tmp_path: Path) -> None:
    write_coco(tmp_path, [(1, [0, 0, 9, 9], 0)])
    summary = check(load(tmp_path, GOOD))
    assert (summary.images, summary.missing, summary.boxes) == (1, 1, 1)
    assert summary.boxes_per_class == {"RBC": 1, "WBC": 0}


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_dataset_files_load(file: Path) -> None:
    assert DatasetSpec.load(file).name == file.stem


@pytest.mark.skipif(not TACO.exists(), reason=f"needs {TACO}, which is not shipped")
def test_taco_map_covers_the_published_classes(tmp_path: Path) -> None:
    (tmp_path / "taco").symlink_to(TACO.parent)
    file = tmp_path / "taco.yaml"
    file.write_bytes((CONFIGS / "taco.yaml").read_bytes())
    spec = DatasetSpec.load(file)
    published = [category["name"] for category in json.loads(TACO.read_bytes())["categories"]]
    assert spec.classes is not None
    assert sorted(name for names in spec.classes.values() for name in names) == sorted(published)
    summary = check(spec)
    assert (summary.images, summary.boxes, len(summary.classes)) == (1500, 4784, 7)
    assert summary.cleaning["clipped"] == 7
    assert summary.cleaning["repeated annotation ids"] == 2
