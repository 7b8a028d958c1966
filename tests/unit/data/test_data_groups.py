"""Images that stay on one side of a drawn split because `split.groups` says so."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.data.dataset_file import DatasetSpec
from sweep.data.prepare import prepare
from sweep.data.prepared import SPLITS, PreparedDataset
from sweep.data.splitting.groups import joined
from sweep.data.summary import check
from sweep.errors import InputError
from tests.datasets import make_photos

SPLIT = {"train": 0.6, "val": 0.2, "test": 0.2}
CAMERAS = {"north": range(6), "south": range(6, 8), "east": range(8, 10), "west": range(10, 12)}


def make_frames(folder: Path, groups: Any) -> DatasetSpec:
    """Twelve photos of four cameras; photo 3 is photo 2 once more."""
    split = SPLIT if groups is None else SPLIT | {"groups": groups}
    spec = make_photos(folder, split=split)
    document = json.loads((folder / "a.json").read_text())
    for camera, numbers in CAMERAS.items():
        for number in numbers:
            entry = document["images"][number]
            entry |= {"file_name": f"{camera}/{camera}_{number}.jpg", "location": camera}
            (folder / "images" / camera).mkdir(exist_ok=True)
            (folder / "images" / f"{number}.jpg").rename(folder / "images" / entry["file_name"])
    (folder / "a.json").write_text(json.dumps(document))
    return spec


def sides(dataset: PreparedDataset) -> dict[str, set[str]]:
    """Return the splits of each camera."""
    found = defaultdict(set)
    for split in SPLITS:
        for image in json.loads(dataset.annotations(split).read_text())["images"]:
            found[image["source"].split("/")[0]].add(split)
    return found


@pytest.mark.parametrize(
    "groups", ["folder", {"field": "location"}, {"name": r"(\w+)_\d+"}, {"name": "(n)orth|(.)/"}]
)
def test_each_group_is_on_one_side(tmp_path: Path, groups: Any) -> None:
    spec = make_frames(tmp_path, groups)
    dataset = prepare(spec, tmp_path / "out")
    assert all(len(splits) == 1 for splits in sides(dataset).values())
    assert set.union(*sides(dataset).values()) == set(SPLITS)
    assert sides(dataset)["north"] == {"train"}
    report = json.loads(dataset.report.read_text())
    assert report["settings"]["split"]["groups"] == (
        groups if isinstance(groups, str) else {"name": None, "field": None} | groups
    )


def test_groups_are_another_dataset_and_none_are_the_same(tmp_path: Path) -> None:
    fingerprints = set()
    for groups in (None, "folder", {"name": "(.*)"}):
        folder = tmp_path / str(len(fingerprints))
        folder.mkdir()
        dataset = prepare(make_frames(folder, groups), folder / "out")
        fingerprints.add(dataset.fingerprint)
        split = json.loads(dataset.report.read_text())["settings"]["split"]
        assert ("groups" in split) == (groups is not None)
    assert len(fingerprints) == 3


def test_other_values_of_the_field_are_another_dataset(tmp_path: Path) -> None:
    spec = make_frames(tmp_path, {"field": "location"})
    first = prepare(spec, tmp_path / "out")
    document = json.loads((tmp_path / "a.json").read_text())
    document["images"][11]["location"] = 7
    (tmp_path / "a.json").write_text(json.dumps(document))
    assert prepare(spec, tmp_path / "out").fingerprint != first.fingerprint


def test_equal_files_join_their_groups(tmp_path: Path) -> None:
    spec = make_frames(tmp_path, "folder")
    copy = tmp_path / "images" / "west" / "west_10.jpg"
    copy.write_bytes((tmp_path / "images" / "east" / "east_8.jpg").read_bytes())
    found = sides(prepare(spec, tmp_path / "out"))
    assert found["east"] == found["west"]


groups_of = st.integers(0, 5).map("g{}".format)
files_of = st.integers(0, 30).map("f{}".format)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(groups_of, files_of), max_size=30))
def test_joined_groups_share_no_file(images: list[tuple[str, str]]) -> None:
    found = joined([group for group, _ in images], [file for _, file in images])
    for own in (0, 1):
        pairs = {(image[own], group) for image, group in zip(images, found, strict=True)}
        assert len(pairs) == len({image[own] for image in images})
    assert set(found) <= {group for group, _ in images}


@pytest.mark.parametrize(
    ("groups", "line"),
    [
        ("foldr", "split.groups: found 'foldr'; did you mean 'folder'?"),
        ({}, "split.groups: give one of `name` and `field`"),
        ({"name": "(a)", "field": "b"}, "split.groups: give one of `name` and `field`"),
        ({"name": "cam"}, "split.groups.name: found 'cam'; put what images of one group share in"),
        ({"name": "(a){9999999999}"}, "split.groups.name: found '(a){9999999999}', no regular exp"),
        ({"name": "(cam"}, "split.groups.name: found '(cam', no regular expression: missing )"),
        ({"nmae": "(a)"}, "split.groups.nmae: unknown key; did you mean 'name'?"),
        ({"name": "(north)"}, "split.groups.name: '(north)' is not in 'south/south_6.jpg'; corr"),
        (
            {"field": "width"},
            "split.val: none of 12 images falls to 0.2, as `split.groups` tells 1",
        ),
    ],
)
def test_wrong_groups_are_refused_in_one_line(tmp_path: Path, groups: Any, line: str) -> None:
    with pytest.raises(InputError) as raised:
        check(make_frames(tmp_path, groups))
    assert str(raised.value).startswith(f"{tmp_path / 'photos.yaml'}: {line}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (None, "missing, and `split.groups` needs it; allowed: file_name, height, id, width"),
        ([1], "found [1]; must be a text or a number"),
    ],
)
def test_every_image_has_the_field(tmp_path: Path, value: Any, line: str) -> None:
    spec = make_frames(tmp_path, {"field": "location"})
    document = json.loads((tmp_path / "a.json").read_text())
    document["images"][1]["location"] = value
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(InputError) as raised:
        check(spec)
    assert str(raised.value) == f"{tmp_path / 'a.json'}: images[1].location: {line}"


def test_only_coco_has_fields(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(
        "name: a\nsource: {synthetic: shapes}\nsize: 64\n"
        "split: {train: 0.5, val: 0.25, test: 0.25, groups: {field: place}}\n"
    )
    with pytest.raises(InputError, match=r"split.groups.field: only images of a COCO file have"):
        DatasetSpec.load(file)


def one_scene(folder: Path, groups: Any = None) -> DatasetSpec:
    """Twelve photos of one thing from one place; nothing moves."""
    spec = make_photos(folder, split=SPLIT if groups is None else SPLIT | {"groups": groups})
    scene = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8), (80, 60))
    for number in range(12):
        scene[0, number] ^= 1
        cv2.imwrite(str(folder / "images" / f"{number}.png"), scene)
        (folder / "images" / f"{number}.png").rename(folder / "images" / f"{number}.jpg")
    return spec


def test_where_all_images_look_alike_the_ways_out_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        prepare(one_scene(tmp_path), tmp_path / "out")
    assert str(raised.value).startswith(
        f"{tmp_path / 'photos.yaml'}: split.val: none of 12 images falls to 0.2, as 11 look like "
        "others and stay with them; say in `split.groups` which belong together, such as "
        "`groups: {name: '(.*)'}` for each by itself, or name the splits in source.splits, or add"
    )
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == []


def test_groups_are_a_way_out(tmp_path: Path) -> None:
    dataset = prepare(one_scene(tmp_path, {"name": "(.*)"}), tmp_path / "out")
    assert all(dataset.images_per_split.values())


def test_a_share_that_is_far_off_is_told(tmp_path: Path) -> None:
    spec = make_frames(tmp_path, "folder")
    assert json.loads(prepare(spec, tmp_path / "out").report.read_text())["warnings"] == []
    text = spec.file.read_text().replace("train: 0.6", "train: 0.34")
    spec.file.write_text(text.replace("val: 0.2", "val: 0.33").replace("test: 0.2", "test: 0.33"))
    dataset = prepare(DatasetSpec.load(spec.file), tmp_path / "out")
    assert max(dataset.images_per_split.values()) == 6
    warnings = json.loads(dataset.report.read_text())["warnings"]
    assert any("6 of 12 images instead of 3" in line for line in warnings)
