"""A `data.yaml` from Ultralytics or Roboflow in the place of a dataset file."""

import json
from pathlib import Path

import pytest

from sweep.data.dataset_file import DatasetSpec
from sweep.data.prepare import prepare
from sweep.errors import InputError
from sweep.submission.estimate import estimate
from sweep.submission.submit import dataset_spec, load
from tests.datasets import ROBOFLOW, make_export

SWEEP = """\
name: mine
dataset: {dataset}
model: yolov8n.yaml
train: {{optimizer: SGD{train}}}
search: {{epochs: 1, space: {space}}}
"""


def write_sweep(folder: Path, dataset: Path, train: str = "", space: str = "{lr0: [0.1]}") -> Path:
    file = folder / "mine.yaml"
    file.write_text(SWEEP.format(dataset=dataset, train=train, space=space))
    return file


def test_a_roboflow_export_is_a_dataset_as_it_is(tmp_path: Path) -> None:
    data_yaml = make_export(tmp_path / "Hard Hät (v3).yolov8")
    spec = DatasetSpec.load(data_yaml, size_px=64)
    dataset = prepare(spec, tmp_path / "prepared")
    assert dataset.path.name == f"Hard-Hat-v3-.yolov8-{dataset.fingerprint[:12]}"
    assert dataset.classes == ("no", "yes")
    assert dataset.images_per_split == {"train": 5, "val": 2, "test": 2}
    assert dataset.boxes_per_split == {"train": 5, "val": 2, "test": 2}
    images = json.loads(dataset.annotations("train").read_text())["images"]
    assert {(image["width"], image["height"]) for image in images} == {(64, 64)}
    assert images[0]["source"] == "train/images/0_jpg.rf.0a0.jpg"


@pytest.mark.parametrize("name", ["data", "数据", "...", "a" * 90, "-_x_-"])
def test_any_folder_gives_a_name(tmp_path: Path, name: str) -> None:
    spec = DatasetSpec.load(make_export(tmp_path / name))
    wanted = {"data": "data", "数据": "dataset", "...": "dataset", "-_x_-": "x"}
    assert spec.name == wanted.get(name, "a" * 64)


@pytest.mark.parametrize(
    ("train", "space", "size"),
    [
        ("", "{lr0: [0.1]}", 640),
        (", imgsz: 96", "{lr0: [0.1]}", 96),
        ("", "{imgsz: [64, 128]}", 128),
        ("", "{imgsz: {low: 64, high: 128, step: 64}}", 128),
    ],
)
def test_the_size_is_the_sweeps(tmp_path: Path, train: str, space: str, size: int) -> None:
    data_yaml = make_export(tmp_path / "cells")
    file = write_sweep(tmp_path, Path("cells/data.yaml"), train, space)
    found = dataset_spec(load(file), file)
    assert found is not None
    assert (found.name, found.size, found.source) == (
        "cells",
        size,
        DatasetSpec.load(data_yaml).source,
    )
    own = tmp_path / "own.yaml"
    for line, expected in (("", size), ("size: 320\n", 320), ("resize: none\n", None)):
        own.write_text(f"name: own\nsource: {{yolo: cells/data.yaml}}\n{line}")
        found = dataset_spec(load(write_sweep(tmp_path, own, train, space)), file)
        assert found is not None
        assert found.size == expected


def test_validate_counts_it(tmp_path: Path) -> None:
    make_export(tmp_path / "cells")
    found = estimate(write_sweep(tmp_path, Path("cells/data.yaml")))
    assert found.dataset is not None
    assert (found.dataset.name, found.dataset.images, found.dataset.boxes) == ("cells", 9, 9)


@pytest.mark.parametrize("place", ["beside", "current", "settings", "default"])
def test_path_is_sought_where_ultralytics_seeks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    here, settings = tmp_path / "here", tmp_path / "config" / "Ultralytics" / "settings.json"
    start = {"beside": tmp_path / "files", "current": here, "settings": tmp_path / "all"}.get(
        place, here / "datasets"
    )
    make_export(start / "coco9")
    for folder in (here, settings.parent, tmp_path / "files"):
        folder.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps({"datasets_dir": str(tmp_path / "all")}))
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(here)
    data_yaml = tmp_path / "files" / "coco9.yaml"
    data_yaml.write_text(
        "path: coco9\ntrain: train/images\nval: valid/images\ntest: # none\nnames: {0: a, 1: b}\n"
    )
    dataset = prepare(DatasetSpec.load(data_yaml, size_px=64), tmp_path / "prepared")
    assert (dataset.name, dataset.images_per_split["train"]) == ("coco9", 5)
    assert dataset.images_per_split["test"] == 0


def test_a_test_split_that_is_named_and_not_there_is_told(tmp_path: Path) -> None:
    data_yaml = make_export(tmp_path / "cells")
    for file in (tmp_path / "cells" / "test").rglob("*.jpg"):
        file.unlink()
    dataset = prepare(DatasetSpec.load(data_yaml, size_px=64), tmp_path / "prepared")
    assert dataset.images_per_split == {"train": 5, "val": 2, "test": 0}
    assert json.loads(dataset.report.read_text())["warnings"] == [
        "data.yaml: test: no image in ../test/images; there is no test split"
    ]


@pytest.mark.parametrize(
    ("data_yaml", "row", "line"),
    [
        (ROBOFLOW.replace("val: ", "#"), "0 .5 .5 .2 .2", "val: missing; the tree needs train and"),
        (
            ROBOFLOW + "kpt_shape: [17, 3]\n",
            "0 .5 .5 .2 .2",
            "kpt_shape: its labels hold keypoints",
        ),
        (ROBOFLOW, "0 .1 .2 .5 .1 .6 .3 .2 .4", "its labels are oriented boxes, class and four"),
        (ROBOFLOW, None, "none of its 9 images has a label file, such as {folder}/train/labels/0_"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_by_validate(
    tmp_path: Path, data_yaml: str, row: str | None, line: str
) -> None:
    file = make_export(tmp_path / "cells", data_yaml, row or "")
    if row is None:
        for label in file.parent.rglob("*.txt"):
            label.unlink()
    sweep = write_sweep(tmp_path, file)
    with pytest.raises(InputError) as raised:
        estimate(sweep)
    assert str(raised.value).startswith(f"{file}: {line.format(folder=file.parent)}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("row", ["0 .1 .2 .5 .2 .5 .4 .1 .4", "0 .1 .2 .5 .1 .6 .3 .2 .4 .1 .3"])
def test_polygons_become_the_boxes_around_them(tmp_path: Path, row: str) -> None:
    found = estimate(write_sweep(tmp_path, make_export(tmp_path / "cells", row=row)))
    assert found.dataset is not None
    assert found.dataset.boxes == 9


@pytest.mark.parametrize(("files", "line"), [([], ""), (["data.yaml"], ", such as data.yaml")])
def test_a_folder_is_told_from_its_file(tmp_path: Path, files: list[str], line: str) -> None:
    (tmp_path / "cells").mkdir()
    for name in files:
        (tmp_path / "cells" / name).touch()
    with pytest.raises(InputError, match=f"cells: is a folder; name the YAML file in it{line}$"):
        DatasetSpec.load(tmp_path / "cells")


def test_class_names_are_taken_as_written(tmp_path: Path) -> None:
    names = ["yes", "NO", "on", "007", "1_0", "0.5", "1e3", "2024-01-01", "~", "0x1F", "1:30"]
    for listed in (
        f"[{', '.join(names)}]",
        "{" + ", ".join(f"{index:02}: {name}" for index, name in enumerate(names)) + "}",
    ):
        file = make_export(
            tmp_path / "cells", ROBOFLOW.replace("['no', yes]", listed).replace("nc: 2", "nc: 11")
        )
        own = tmp_path / "own.yaml"
        own.write_text(
            "name: 007\nsource: {yolo: cells/data.yaml}\nsize: 64\n"
            f"drop: [{', '.join(names[2:])}]\nclasses: {{off: [NO], 1e5: [yes]}}\n"
        )
        spec = DatasetSpec.load(own)
        assert (spec.name, spec.drop) == ("007", tuple(names[2:]))
        dataset = prepare(spec, tmp_path / "prepared")
        assert dataset.classes == ("off", "1e5")
        assert prepare(DatasetSpec.load(file), tmp_path / "prepared").classes == tuple(names)
        assert DatasetSpec.load(dataset.data_yaml).source
        again = prepare(DatasetSpec.load(dataset.data_yaml), tmp_path / "again")
        assert again.classes == dataset.classes


def test_one_image_on_two_sides_is_refused_with_the_way_out(tmp_path: Path) -> None:
    file = make_export(tmp_path / "cells")
    copy = tmp_path / "cells" / "valid" / "images" / "5_jpg.rf.0a5.jpg"
    copy.write_bytes((tmp_path / "cells" / "train" / "images" / "0_jpg.rf.0a0.jpg").read_bytes())
    with pytest.raises(InputError, match=r"are the same image; write a dataset file with "):
        prepare(DatasetSpec.load(file, size_px=64), tmp_path / "prepared")
