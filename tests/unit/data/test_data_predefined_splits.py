"""COCO datasets that are split already."""

import json
from pathlib import Path
from typing import Any

import pytest

from sweep.data.cleaning import read_clean
from sweep.data.dataset_file import DatasetSpec
from sweep.data.prepare import prepare
from sweep.data.prepared import SPLITS
from sweep.errors import InputError
from tests.datasets import make_photos

LISTS = {"train": "train.txt", "val": "val.txt", "test": "test.txt"}


def photos(folder: Path, splits: dict[str, Any], **changes: Any) -> DatasetSpec:
    source = {"coco": "a.json", "images": "images", "splits": splits}
    return make_photos(folder, **({"source": source, "split": None} | changes))


def write_lists(folder: Path, **lists: list[str]) -> None:
    for split, names in lists.items():
        (folder / f"{split}.txt").write_text("\n".join(names) + "\n")


def names(start: int, stop: int) -> list[str]:
    return [f"{number}.jpg" for number in range(start, stop)]


def sides(dataset: Any) -> dict[str, list[str]]:
    return {
        split: [
            image["source"]
            for image in json.loads(dataset.annotations(split).read_text())["images"]
        ]
        for split in SPLITS
    }


def test_lists_are_kept(tmp_path: Path) -> None:
    write_lists(tmp_path, train=["", *names(6, 12)], val=["./0.jpg", "1.jpg"], test=names(2, 6))
    dataset = prepare(photos(tmp_path, LISTS), tmp_path / "out")
    assert sides(dataset) == {"train": names(6, 12), "val": names(0, 2), "test": names(2, 6)}


def test_folders_are_kept(tmp_path: Path) -> None:
    spec = photos(tmp_path, {"train": "a", "val": "a2/b/"})
    document = json.loads((tmp_path / "a.json").read_text())
    for image in document["images"]:
        name = f"{'a2/b' if image['id'] in {2, 3} else 'a'}/{image['file_name']}"
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / image["file_name"]).rename(tmp_path / "images" / name)
        image["file_name"] = name
    (tmp_path / "a.json").write_text(json.dumps(document))
    dataset = prepare(spec, tmp_path / "out")
    assert dataset.images_per_split == {"train": 10, "val": 2, "test": 0}
    assert sides(dataset)["val"] == ["a2/b/2.jpg", "a2/b/3.jpg"]


def test_other_lists_are_another_dataset_and_split_overrules_them(tmp_path: Path) -> None:
    write_lists(tmp_path, train=names(6, 12), val=names(0, 2), test=names(2, 6))
    first = prepare(photos(tmp_path, LISTS), tmp_path / "out")
    write_lists(tmp_path, train=names(5, 12), val=names(0, 2), test=names(2, 5))
    spec = DatasetSpec.load(tmp_path / "photos.yaml")
    assert prepare(spec, tmp_path / "out").fingerprint != first.fingerprint
    drawn = {"train": 0.5, "val": 0.5, "test": 0}
    spec.file.write_text(spec.file.read_text() + f"split: {drawn}\n")
    anew = prepare(DatasetSpec.load(spec.file), tmp_path / "out")
    assert anew.images_per_split == {"train": 6, "val": 6, "test": 0}


def test_one_image_on_two_sides_under_two_names_is_refused(tmp_path: Path) -> None:
    write_lists(tmp_path, train=names(3, 12), val=names(0, 3))
    spec = photos(tmp_path, {"train": "train.txt", "val": "val.txt"})
    with pytest.raises(InputError, match=r"3.jpg \(train\) and 2.jpg \(val\)|2.jpg \(val\) and 3"):
        prepare(spec, tmp_path / "out")


@pytest.mark.parametrize(
    ("splits", "line"),
    [
        ({"train": "train.txt", "val": "val.txt"}, ": 4 of 12 images are in no split (2.jpg, 3.jp"),
        (LISTS | {"test": "val.txt"}, ".test: 0.jpg is in val as well; keep one"),
        (LISTS | {"test": "absent.txt"}, ".test: {folder}/absent.txt: cannot be read: No such"),
        (
            LISTS | {"test": "wrong.txt"},
            ".test: {folder}/wrong.txt: line 2: no image 'x.jpg'; list",
        ),
        (LISTS | {"val": "valid"}, ".val: no image in valid; correct it, or leave it out"),
        (LISTS | {"val": "empty.txt"}, ".val: no image in {folder}/empty.txt; correct it"),
        ({"train": "train.txt"}, ".val: missing; add it"),
        (LISTS | {"vla": "x"}, ".vla: unknown key; did you mean 'val'?"),
    ],
)
def test_wrong_splits_are_refused_in_one_line(
    tmp_path: Path, splits: dict[str, str], line: str
) -> None:
    write_lists(tmp_path, train=names(6, 12), val=names(0, 2), test=names(2, 6), empty=[])
    write_lists(tmp_path, wrong=["2.jpg", "x.jpg"])
    with pytest.raises(InputError) as raised:
        read_clean(photos(tmp_path, splits))
    expected = f"source.splits{line.format(folder=tmp_path)}"
    assert str(raised.value).startswith(f"{tmp_path / 'photos.yaml'}: {expected}")
    assert "\n" not in str(raised.value)
