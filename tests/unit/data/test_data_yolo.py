from pathlib import Path

import cv2
import numpy as np
import pytest

from sweep.data.reading.yolo import read_yolo
from sweep.errors import InputError

YAML = "path: tree\ntrain: images/train\nval: images/val\nnames: {0: cat, 1: dog}\n"


def make_tree(folder: Path, yaml: str = YAML) -> Path:
    for split, names in {"train": "ab", "val": "c"}.items():
        for name in names:
            image = folder / "tree" / "images" / split / f"{name}.jpg"
            image.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(image), np.full((50, 100, 3), ord(name), np.uint8))
    labels = folder / "tree" / "labels" / "train"
    labels.mkdir(parents=True)
    (labels / "a.txt").write_text("1 0.5 0.5 0.2 0.4\n\n0 0.1 0.1 0.3 0.1 0.2 0.5\n")
    (folder / "data.yaml").write_text(yaml)
    return folder / "data.yaml"


def test_reads_boxes_polygons_and_splits(tmp_path: Path) -> None:
    source = read_yolo(make_tree(tmp_path))
    assert source.classes == ("cat", "dog")
    assert [(image.name, image.split) for image in source.images] == [
        ("images/train/a.jpg", "train"),
        ("images/train/b.jpg", "train"),
        ("images/val/c.jpg", "val"),
    ]
    first, second, _ = source.images
    assert (first.width, first.height) == (100, 50)
    boxes = [(box.category, box.x, box.y, box.width, box.height) for box in first.boxes]
    assert boxes[0][0] == "dog"
    assert boxes[0][1:] == pytest.approx((40, 15, 20, 20))
    assert boxes[1][0] == "cat"
    assert boxes[1][1:] == pytest.approx((10, 5, 20, 20))
    assert second.boxes == ()


def test_a_tree_without_val_has_no_splits(tmp_path: Path) -> None:
    source = read_yolo(make_tree(tmp_path, "path: tree\ntrain: images\nnames: [cat, dog]\n"))
    assert [image.split for image in source.images] == [None, None, None]


def test_several_folders_and_lists_for_one_split(tmp_path: Path) -> None:
    data_yaml = make_tree(
        tmp_path,
        "path: tree\ntrain: [images/train, more.txt]\nvalidation: images/val\n"
        "names: {'0': cat, '1': dog}\n",
    )
    extra = tmp_path / "tree" / "extra.png"
    cv2.imwrite(str(extra), np.zeros((40, 40, 3), np.uint8))
    extra.with_suffix(".txt").write_text("\ufeff1 0.5 0.5 1 1\n", encoding="utf-8")
    (tmp_path / "tree" / "more.txt").write_text(f"{extra}\n./images/train/a.jpg\n")
    source = read_yolo(data_yaml)
    assert [(image.name, image.split) for image in source.images] == [
        ("images/train/a.jpg", "train"),
        ("images/train/b.jpg", "train"),
        ("extra.png", "train"),
        ("images/val/c.jpg", "val"),
    ]
    (box,) = source.images[2].boxes
    assert (box.category, *box.corners) == ("dog", 0, 0, 40, 40)


def test_folders_are_read_as_ultralytics_does(tmp_path: Path) -> None:
    data_yaml = make_tree(tmp_path)
    images = tmp_path / "tree" / "images"
    (images / "train" / "._a.jpg").write_bytes(b"what a Mac leaves beside a file")
    (images / "train" / "notes.txt").write_text("not an image")
    (images / "more").mkdir()
    (images / "train" / "b.jpg").rename(images / "more" / "b.jpg")
    (images / "train" / "linked").symlink_to(images / "more")
    names = [image.name for image in read_yolo(data_yaml).images]
    assert names == ["images/train/a.jpg", "images/train/linked/b.jpg", "images/val/c.jpg"]


def test_images_of_a_format_that_cannot_be_read_are_not_passed_over(tmp_path: Path) -> None:
    data_yaml = make_tree(tmp_path)
    photo = tmp_path / "tree" / "images" / "train" / "d.HEIC"
    photo.write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(InputError, match=rf"^{photo}: not an image of a known format: JPEG, PNG"):
        read_yolo(data_yaml)


def test_lists_of_images_and_roboflows_paths(tmp_path: Path) -> None:
    data_yaml = make_tree(tmp_path, "train: list.txt\nval: ../tree/images/val\nnames: [a, b]\n")
    (tmp_path / "list.txt").write_text("tree/images/train/a.jpg\n\n./tree/images/train/b.jpg\n")
    assert [image.split for image in read_yolo(data_yaml).images] == ["train", "train", "val"]


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("x 0.5 0.5 0.1 0.1", "found 'x 0.5 0.5 0.1 0.1'; must be numbers"),
        ("0.5 0.5 0.5 0.1 0.1", "found class 0.5; must be a whole number"),
        ("nan 0.5 0.5 0.1 0.1", "found class nan; must be a whole number"),
        ("7 0.5 0.5 0.1 0.1", "found class 7; data.yaml names 0 to 1"),
        ("0 50 50 10 10", "found '0 50 50 10 10'; must be parts of 1"),
        ("0 nan 0.5 0.1 0.1", "found '0 nan 0.5 0.1 0.1'; must be parts of 1"),
        ("0 0.5 0.5 -0.001 0.1", "width and height must not be negative"),
        ("0 0.5 0.5 0.1", "found 4 numbers; must be class, x, y, width, height or a polygon"),
        ("0", "found 1 numbers; must be class"),
    ],
)
def test_wrong_labels_name_file_and_line(tmp_path: Path, row: str, line: str) -> None:
    data_yaml = make_tree(tmp_path)
    labels = tmp_path / "tree" / "labels" / "train" / "a.txt"
    labels.write_text(f"0 0.5 0.5 0.1 0.1\n{row}\n")
    with pytest.raises(InputError) as raised:
        read_yolo(data_yaml)
    assert str(raised.value).startswith(f"{labels}: line 2: {line}")


@pytest.mark.parametrize(
    ("yaml", "line"),
    [
        ("names: [a, b]\n", "train: missing; add the folder"),
        ("train: images\n", "names: missing, as is nc; must list the class names"),
        ("train: images\nnames: {x: a}\n", "names: found 'x': 'a'; must be `0: name`"),
        ("train: images\nkpt_shape: [17, 3]\nnames: [a]\n", "kpt_shape: its labels hold keypo"),
        ("train: images\nnames: [[a]]\n", "names: found 0: ['a']; must be `0: name`"),
        ("train: absent\nnames: [a, b]\n", "train: no such folder or .txt file: "),
        ("train: {a: b}\nnames: [a, b]\n", "train: found {'a': 'b'}; must be a folder or a list"),
        ("train: 3\nnames: [a, b]\n", "train: no such folder or .txt file: {folder}/3"),
        ("path: [x]\ntrain: tree\nnames: [a, b]\n", "path: found ['x']; must be a text"),
        (
            "path: /x\ntrain: tree\nnames: [a, b]\n",
            "path: no such folder: /x; correct it, or leave",
        ),
        (
            "path: x\ntrain: tree\nnames: [a]\ndownload: https://a/b.zip\n",
            "path: no such folder: x; download it from https://a/b.zip first",
        ),
        ("train: tree/labels\nnames: [a, b]\n", "train: no image in "),
        ("train: tree\nval: tree\nnames: [a, b]\n", "val: "),
    ],
)
def test_wrong_trees_are_refused_in_one_line(tmp_path: Path, yaml: str, line: str) -> None:
    data_yaml = make_tree(tmp_path, yaml)
    with pytest.raises(InputError) as raised:
        read_yolo(data_yaml)
    assert str(raised.value).startswith(f"{data_yaml}: {line}".replace("{folder}", str(tmp_path)))
    assert "\n" not in str(raised.value)


def test_damaged_and_listed_but_absent_images_are_named(tmp_path: Path) -> None:
    data_yaml = make_tree(tmp_path)
    image = tmp_path / "tree" / "images" / "train" / "b.jpg"
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(InputError, match=rf"^{image}: not a whole image"):
        read_yolo(data_yaml)
    data_yaml.write_text(YAML.replace("images/train", "list.txt"))
    (tmp_path / "tree" / "list.txt").write_text("images/train/absent.jpg")
    with pytest.raises(
        InputError, match=r"list.txt: line 1: no image 'images/train/absent.jpg' \(the"
    ):
        read_yolo(data_yaml)
