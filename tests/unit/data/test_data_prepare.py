import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from pycocotools.coco import COCO

from sweep.data.packing.digests import CACHE
from sweep.data.prepare import prepare
from sweep.data.prepared import SPLITS, PreparedDataset
from sweep.errors import InputError, SweepError
from tests.datasets import load, make_photos

pytestmark = pytest.mark.slow

BCCD = Path(__file__).parents[4] / "shared" / "data" / "bccd"

SHAPES: dict[str, Any] = {
    "name": "shapes",
    "source": {"synthetic": "shapes", "images": 40},
    "size": 64,
    "split": {"train": 0.6, "val": 0.2, "test": 0.2},
}


def files_of(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir() if path.name not in {".lock", CACHE})


def test_folder_agrees_with_itself(tmp_path: Path) -> None:
    dataset = prepare(load(tmp_path, SHAPES), tmp_path / "out")
    assert dataset.path.name == f"shapes-{dataset.fingerprint[:12]}"
    assert PreparedDataset.load(dataset.path) == dataset
    assert dataset.classes == ("circle", "square", "triangle")
    assert sum(dataset.images_per_split.values()) == 40
    numbers: list[int] = []
    for split in SPLITS:
        coco = COCO(dataset.annotations(split))
        assert len(coco.imgs) == dataset.images_per_split[split]
        assert len(coco.anns) == dataset.boxes_per_split[split]
        assert sorted(coco.anns) == list(range(1, len(coco.anns) + 1))
        assert coco.loadCats(coco.getCatIds())[0] == {"id": 1, "name": "circle"}
        assert {path.name for path in dataset.images(split).iterdir()} == {
            image["file_name"] for image in coco.imgs.values()
        }
        for number, image in coco.imgs.items():
            numbers.append(number)
            assert image["file_name"] == f"{number:06d}.jpg"
            pixels = cv2.imread(str(dataset.images(split) / image["file_name"]))
            assert pixels.shape == (image["height"], image["width"], 3) == (64, 64, 3)
            labels = dataset.path / "labels" / split / f"{number:06d}.txt"
            rows = np.loadtxt(labels, ndmin=2)
            boxes = np.array([found["bbox"] for found in coco.imgToAnns[number]])
            label = [found["category_id"] - 1 for found in coco.imgToAnns[number]]
            assert rows[:, 0].tolist() == label
            assert rows[:, 3:] * 64 == pytest.approx(boxes[:, 2:], abs=1e-4)
            assert rows[:, 1:3] * 64 == pytest.approx(boxes[:, :2] + boxes[:, 2:] / 2, abs=1e-4)
    assert sorted(numbers) == list(range(1, 41))


def test_data_yaml_names_no_machine(tmp_path: Path) -> None:
    dataset = prepare(load(tmp_path, SHAPES), tmp_path / "out")
    assert yaml.safe_load(dataset.data_yaml.read_text()) == {
        "train": "images/train",
        "val": "images/val",
        "test": "images/test",
        "names": {0: "circle", 1: "square", 2: "triangle"},
    }


def test_ultralytics_finds_a_moved_folder(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    from ultralytics.data.utils import check_det_dataset

    dataset = prepare(load(tmp_path, SHAPES), tmp_path / "out")
    moved = dataset.path.rename(tmp_path / "moved")
    assert check_det_dataset(moved / "data.yaml")["val"] == str(moved / "images" / "val")
    monkeypatch.chdir(moved)
    assert check_det_dataset("data.yaml")["val"] == str(moved / "images" / "val")


def test_same_input_is_prepared_once_and_to_the_same_bytes(tmp_path: Path) -> None:
    calls: list[tuple[str, int, int | None]] = []
    first = prepare(load(tmp_path, SHAPES), tmp_path / "a", lambda *call: calls.append(call))
    assert calls == [("preparing the dataset", number, 40) for number in range(1, 41)]
    again = prepare(load(tmp_path, SHAPES), tmp_path / "a", lambda *call: pytest.fail("again"))
    assert again == first
    other = prepare(load(tmp_path, SHAPES | {"name": "other"}), tmp_path / "b")
    assert other.fingerprint == first.fingerprint
    for file in first.path.rglob("*.*"):
        if file.parent.name in {"train", "val", "test"}:
            assert (other.path / file.relative_to(first.path)).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"size": 96},
        {"split": {"train": 0.6, "val": 0.2, "test": 0.2, "seed": 1}},
        {"source": {"synthetic": "shapes", "images": 40, "seed": 1}},
        {"drop": ["circle"]},
        {"classes": {"round": ["circle"], "edged": ["square", "triangle"]}},
    ],
)
def test_other_input_has_another_fingerprint(tmp_path: Path, change: dict[str, Any]) -> None:
    out = tmp_path / "out"
    first = prepare(load(tmp_path, SHAPES), out)
    other = prepare(load(tmp_path, SHAPES | change), out)
    assert first.fingerprint != other.fingerprint
    assert len(files_of(out)) == 2


def test_changed_pixels_change_the_fingerprint(tmp_path: Path) -> None:
    spec = make_photos(tmp_path)
    first = prepare(spec, tmp_path / "out")
    cv2.imwrite(str(tmp_path / "images" / "5.jpg"), np.zeros((60, 80, 3), np.uint8))
    assert prepare(spec, tmp_path / "out").fingerprint != first.fingerprint


def test_equal_photos_are_on_one_side(tmp_path: Path) -> None:
    for seed in range(5):
        folder = tmp_path / str(seed)
        folder.mkdir()
        split = {"train": 0.5, "val": 0.25, "test": 0.25, "seed": seed}
        dataset = prepare(make_photos(folder, split=split), folder / "out")
        side = {
            image["source"]: split
            for split in SPLITS
            for image in json.loads(dataset.annotations(split).read_text())["images"]
        }
        assert side["2.jpg"] == side["3.jpg"]
        assert Counter(side.values()) == dataset.images_per_split


def test_boxes_are_scaled_and_padded(tmp_path: Path) -> None:
    dataset = prepare(make_photos(tmp_path), tmp_path / "out")
    found = json.loads(dataset.annotations("train").read_text())["annotations"][0]
    assert found["bbox"] == [16, 32, 80, 60]
    assert found["area"] == 4800


def test_unchanged_pixels_are_copied(tmp_path: Path) -> None:
    dataset = prepare(make_photos(tmp_path, size=None, resize="none"), tmp_path / "out")
    for split in SPLITS:
        for image in json.loads(dataset.annotations(split).read_text())["images"]:
            copy = (dataset.images(split) / image["file_name"]).read_bytes()
            assert copy == (tmp_path / "images" / image["source"]).read_bytes()


def test_report_says_what_was_done(tmp_path: Path) -> None:
    dataset = prepare(load(tmp_path, SHAPES | {"drop": ["circle"]}), tmp_path / "out")
    report = json.loads((dataset.path / "report.json").read_text())
    assert report["source"]["classes"] == 3
    assert report["source"]["images"] == 40
    kept = sum(report["boxes_per_split"].values())
    assert report["source"]["boxes"] == kept + report["cleaning"]["dropped class"]
    assert report["settings"]["split"] == {"train": 0.6, "val": 0.2, "test": 0.2, "seed": 0}
    assert report["warnings"] == []


def test_a_class_without_boxes_is_reported(tmp_path: Path) -> None:
    spec = make_photos(tmp_path)
    document = json.loads((tmp_path / "a.json").read_text())
    document["categories"].append({"id": 1, "name": "crystal"})
    (tmp_path / "a.json").write_text(json.dumps(document))
    dataset = prepare(spec, tmp_path / "out")
    report = json.loads((dataset.path / "report.json").read_text())
    assert report["warnings"] == [f"{split}: no box of crystal" for split in SPLITS]
    assert report["boxes_per_class"]["val"] == {"cell": 3, "crystal": 0}


def test_missing_photos_are_counted_and_named(tmp_path: Path) -> None:
    spec = make_photos(tmp_path)
    for index in range(4):
        (tmp_path / "images" / f"{index}.jpg").unlink()
    with pytest.raises(
        InputError, match=r"4 of 12 images are missing \(0.jpg, 1.jpg, 2.jpg, …\); put them into"
    ):
        prepare(spec, tmp_path / "out")


@pytest.mark.parametrize("damage", ["cut", "other size", "no image"])
def test_a_wrong_photo_is_named_and_nothing_is_left(tmp_path: Path, damage: str) -> None:
    spec = make_photos(tmp_path)
    photo = tmp_path / "images" / "7.jpg"
    if damage == "cut":
        photo.write_bytes(photo.read_bytes()[:-100])
    elif damage == "other size":
        cv2.imwrite(str(photo), np.zeros((80, 60, 3), np.uint8))
    else:
        photo.write_text("<html>Not found</html>")
    with pytest.raises(InputError) as raised:
        prepare(spec, tmp_path / "out")
    assert str(raised.value).startswith(f"{photo}: ")
    assert "\n" not in str(raised.value)
    assert files_of(tmp_path / "out") == []


def test_damaged_photos_are_left_out_if_the_file_says_so(tmp_path: Path) -> None:
    spec = make_photos(tmp_path, damaged="leave out")
    cut, absent = tmp_path / "images" / "7.jpg", tmp_path / "images" / "0.jpg"
    cut.write_bytes(cut.read_bytes()[:-100])
    absent.write_text("<html>Not found</html>")
    dataset = prepare(spec, tmp_path / "out")
    report = json.loads(dataset.report.read_text())
    assert report["images_left_out"] == [
        {
            "image": "0.jpg",
            "boxes": 1,
            "why": "not an image of a known format: JPEG, PNG, BMP, WebP, TIFF, JPEG 2000",
        },
        {
            "image": "7.jpg",
            "boxes": 1,
            "why": "not a whole image: its end is missing; fetch it again",
        },
    ]
    assert report["source"]["images"] == report["source"]["boxes"] == 12
    assert sum(dataset.images_per_split.values()) == sum(dataset.boxes_per_split.values()) == 10
    sources = {
        image["file_name"]: image["source"]
        for split in SPLITS
        for image in json.loads(dataset.annotations(split).read_text())["images"]
    }
    kept = [number for number in range(12) if number not in {0, 7}]
    assert sources == {f"{number + 1:06d}.jpg": f"{number}.jpg" for number in kept}
    assert '<td>7.jpg</td><td class="wide">not a whole image' in dataset.preview.read_text()


def test_a_photo_of_another_size_is_never_left_out(tmp_path: Path) -> None:
    spec = make_photos(tmp_path, damaged="leave out")
    cv2.imwrite(str(tmp_path / "images" / "7.jpg"), np.zeros((80, 61, 3), np.uint8))
    with pytest.raises(InputError, match=r"7.jpg: is 61x80 px .* but annotated as 80x60"):
        prepare(spec, tmp_path / "out")


def test_too_few_images_for_a_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"split.val: none of 2 images falls to 0.25"):
        prepare(make_photos(tmp_path, count=2), tmp_path / "out")


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(task: str, done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(load(tmp_path, SHAPES), tmp_path / "out", interrupt)
    assert files_of(tmp_path / "out") == []


def test_a_killed_run_leaves_nothing_that_is_taken_for_whole(tmp_path: Path) -> None:
    spec = load(tmp_path, SHAPES)
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from sweep.data.dataset_file import DatasetSpec\n"
        "from sweep.data.prepare import prepare\n"
        "def die(task, done, total):\n"
        "    if done == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "prepare(DatasetSpec.load(Path(sys.argv[1])), Path(sys.argv[2]), die)\n"
    )
    out = tmp_path / "out"
    killed = subprocess.run([sys.executable, "-c", script, spec.file, out], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [name[-8:] for name in files_of(out)] == [".partial"]
    other = prepare(load(tmp_path, SHAPES | {"size": 96}), out)
    assert files_of(out) == [other.path.name]
    assert sum(prepare(spec, out).images_per_split.values()) == 40


def test_what_a_live_run_writes_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    halfway, go_on = threading.Event(), threading.Event()
    done: list[PreparedDataset] = []

    def wait(task: str, done: int, total: int | None) -> None:
        halfway.set()
        assert go_on.wait(30)

    slow, quick = load(tmp_path, SHAPES), load(tmp_path, SHAPES | {"name": "quick", "size": 96})
    first = threading.Thread(target=lambda: done.append(prepare(slow, out, wait)))
    second = threading.Thread(target=lambda: done.append(prepare(quick, out)))
    first.start()
    assert halfway.wait(30)
    second.start()
    second.join(0.2)  # it must not get on; were it not to wait, this gives it the time to harm
    assert second.is_alive()
    go_on.set()
    first.join(30)
    second.join(30)
    assert sorted(dataset.path.name for dataset in done) == files_of(out)
    assert len(done) == 2


def test_out_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(SweepError, match="cannot be written"):
        prepare(load(tmp_path, SHAPES), tmp_path / "out")


def test_a_folder_changed_by_hand_is_refused(tmp_path: Path) -> None:
    dataset = prepare(load(tmp_path, SHAPES), tmp_path / "out")
    (dataset.path / "report.json").unlink()
    with pytest.raises(InputError, match="was changed by hand; delete it"):
        prepare(load(tmp_path, SHAPES), tmp_path / "out")


def make_tree(folder: Path, val: str = "val") -> dict[str, Any]:
    """A YOLO tree of three images to train on and two to validate on; one more beside them."""
    for index, split in enumerate(["train", "train", "train", "val", "val", "same"]):
        image = folder / "images" / split / f"{index}.jpg"
        label = folder / "labels" / split / f"{index}.txt"
        image.parent.mkdir(parents=True, exist_ok=True)
        label.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(image), np.full((60, 80, 3), 40 * (index % 5), np.uint8))
        label.write_text("0 0.5 0.5 0.5 0.5\n")
    (folder / "data.yaml").write_text(
        f"train: images/train\nval: images/{val}\nnames: [cell]\n", encoding="utf-8"
    )
    return {"name": "tree", "source": {"yolo": "data.yaml"}, "size": 64}


def test_a_yolo_tree_keeps_its_splits(tmp_path: Path) -> None:
    dataset = prepare(load(tmp_path, make_tree(tmp_path)), tmp_path / "out")
    assert dataset.images_per_split == {"train": 3, "val": 2, "test": 0}
    assert "test" not in yaml.safe_load(dataset.data_yaml.read_text())
    assert COCO(dataset.annotations("test")).imgs == {}


def test_a_yolo_tree_is_split_anew_where_the_file_says_so(tmp_path: Path) -> None:
    split = {"split": {"train": 0.4, "val": 0.4, "test": 0.2}}
    dataset = prepare(load(tmp_path, make_tree(tmp_path) | split), tmp_path / "out")
    assert dataset.images_per_split == {"train": 2, "val": 2, "test": 1}


def test_a_yolo_tree_with_an_image_on_two_sides_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"0.jpg \(train\) and images/same/5.jpg \(val\) are the"):
        prepare(load(tmp_path, make_tree(tmp_path, val="same")), tmp_path / "out")


def test_damaged_images_of_a_yolo_tree_are_left_out_if_the_file_says_so(tmp_path: Path) -> None:
    document = make_tree(tmp_path)
    (tmp_path / "images" / "train" / "1.jpg").write_text("not an image")
    with pytest.raises(InputError, match=r"1.jpg: not an image .*, or set `damaged: leave out`"):
        prepare(load(tmp_path, document), tmp_path / "out")
    dataset = prepare(load(tmp_path, document | {"damaged": "leave out"}), tmp_path / "out")
    assert dataset.images_per_split == {"train": 2, "val": 2, "test": 0}
    (left,) = json.loads(dataset.report.read_text())["images_left_out"]
    assert (left["image"], left["boxes"]) == ("images/train/1.jpg", 1)


@pytest.mark.skipif(not BCCD.exists(), reason=f"needs {BCCD}, which is not shipped")
def test_bccd_is_prepared_box_for_box(tmp_path: Path) -> None:
    (tmp_path / "bccd").symlink_to(BCCD)
    shipped = Path(__file__).parents[3] / "configs" / "datasets" / "bccd.yaml"
    document = yaml.safe_load(shipped.read_text()) | {"size": 160}
    dataset = prepare(load(tmp_path, document), tmp_path / "out")
    published = json.loads((BCCD / "annotations.json").read_bytes())
    names = {category["id"]: category["name"] for category in published["categories"]}
    expected = Counter(
        names[found["category_id"]] for found in published["annotations"] if min(found["bbox"][2:])
    )
    report = json.loads((dataset.path / "report.json").read_text())
    assert report["cleaning"]["without area"] == 2
    assert sum(map(Counter, report["boxes_per_class"].values()), Counter[str]()) == expected
    assert sum(dataset.boxes_per_split.values()) == len(published["annotations"]) - 2
    assert sum(dataset.images_per_split.values()) == 364
    for split, ratio in {"train": 0.7, "val": 0.2, "test": 0.1}.items():
        for name, count in expected.items():
            share = report["boxes_per_class"][split][name] / count
            assert share == pytest.approx(ratio, abs=0.05)
