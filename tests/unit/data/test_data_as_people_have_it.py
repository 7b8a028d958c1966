"""Boxes in are boxes out, or are named, whatever a source leaves out and its files are."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sweep.data.prepare import prepare
from sweep.data.reading.coco import read_coco
from sweep.data.reading.picture import Picture, PictureError
from sweep.data.reading.yolo import read_yolo
from sweep.errors import InputError
from tests.datasets import load, make_photos

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
FEW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


# Fields that are not needed


def document(count: int = 3) -> dict[str, Any]:
    return {
        "images": [
            {"id": number, "file_name": f"{number}.jpg", "width": 80, "height": 60, "license": 1}
            for number in range(count)
        ],
        "annotations": [
            {
                "id": number + 7,
                "image_id": number,
                "category_id": 0,
                "bbox": [8, 6, 40, 30],
                "area": 1200,
                "segmentation": [[8, 6, 48, 6, 48, 36]],
                "iscrowd": 0,
            }
            for number in range(count)
        ],
        "categories": [{"id": 0, "name": "cell", "supercategory": "x"}],
    }


NOT_NEEDED = {
    "images": ["width", "height", "license"],
    "annotations": ["id", "area", "iscrowd"],
    "categories": ["supercategory"],
}


@FEW
@given(
    left_out=st.lists(
        st.tuples(
            st.sampled_from(
                [(key, field) for key, fields in NOT_NEEDED.items() for field in fields]
                + [("annotations", "either")]
            ),
            st.integers(0, 2),
            st.sampled_from(["absent", "null"]),
        )
    ),
    around=st.booleans(),
)
def test_what_the_mode_does_not_need_may_be_left_out(
    tmp_path: Path, left_out: list[Any], around: bool
) -> None:
    if not (tmp_path / "images").exists():
        make_photos(tmp_path, count=3)
    found = document()
    for (key, field), number, how in left_out:
        entry = found[key][number % len(found[key])]
        name = field if field != "either" else "bbox" if around else "segmentation"
        if how == "absent":
            entry.pop(name, None)
        else:
            entry[name] = None
    (tmp_path / "a.json").write_text(json.dumps(found))
    source = read_coco(tmp_path / "a.json", tmp_path / "images", around=around)
    for image in source.images:
        assert (image.width, image.height) == (80, 60)
        assert [box.corners for box in image.boxes] == [(8, 6, 40, 30)]
    assert source.mended == ()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"bbox": None}, "bbox: missing; `boxes: segmentation` takes it from the segmentation"),
        ({"bbox": []}, "bbox: missing; `boxes: segmentation` takes it from the segmentation"),
        ({"bbox": None, "segmentation": []}, "bbox: missing; is this a COCO detection file?"),
        ({"image_id": None}, "image_id: missing; is this a COCO detection file?"),
    ],
)
def test_what_is_needed_is_still_asked_for(
    tmp_path: Path, change: dict[str, Any], line: str
) -> None:
    found = document()
    found["annotations"][1] |= change
    (tmp_path / "a.json").write_text(json.dumps(found))
    with pytest.raises(InputError) as raised:
        read_coco(tmp_path / "a.json", tmp_path)
    assert str(raised.value) == f"{tmp_path / 'a.json'}: annotations[1].{line}"


def test_ids_may_be_text_and_whole_numbers_floats(tmp_path: Path) -> None:
    found = document()
    found["annotations"][0] |= {"id": "b7", "image_id": 2.0, "bbox": [1.0, 2.0, 3.0, 4.0]}
    (tmp_path / "a.json").write_text(json.dumps(found))
    boxes = read_coco(tmp_path / "a.json", tmp_path).images[2].boxes
    assert [box.annotation for box in boxes] == ["b7", 9]


def test_a_size_that_cannot_be_measured_is_asked_for(tmp_path: Path) -> None:
    make_photos(tmp_path, count=3)
    found = document()
    del found["images"][1]["height"]
    (tmp_path / "a.json").write_text(json.dumps(found))
    photo = tmp_path / "images" / "1.jpg"
    photo.write_text("no image")
    with pytest.raises(InputError, match=r"1.jpg: not an image .*, or set `damaged: leave out`"):
        read_coco(tmp_path / "a.json", tmp_path / "images")
    source = read_coco(tmp_path / "a.json", tmp_path / "images", leave_out_damaged=True)
    assert [len(left.image.boxes) for left in source.left_out] == [1]
    photo.unlink()
    with pytest.raises(InputError, match=r"images\[1\].height: missing, and .* cannot be measured"):
        read_coco(tmp_path / "a.json", tmp_path / "images")


def test_an_address_is_needed_only_for_what_is_not_there(tmp_path: Path) -> None:
    make_photos(tmp_path, count=3)
    (tmp_path / "a.json").write_text(json.dumps(document()))
    source = read_coco(tmp_path / "a.json", tmp_path / "images", "flickr_url")
    assert [image.url for image in source.images] == [None] * 3
    (tmp_path / "images" / "2.jpg").unlink()
    with pytest.raises(InputError, match=r"images\[2\].flickr_url: missing"):
        read_coco(tmp_path / "a.json", tmp_path / "images", "flickr_url")


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        ("nc: 2", ("class_0", "class_1")),
        ("nc: '2'\nnames:", ("class_0", "class_1")),
        ("nc: 2.0\nnames: [cat, dog]", ("cat", "dog")),
        ("nc:\nnames: [cat, dog]", ("cat", "dog")),
        ("nc: 3\nnames: [cat, dog]", "nc: found 3, but 2 names; correct one"),
        ("nc: 1.9", "nc: found 1.9; must be the number of classes"),
        ("nc: many", "nc: found 'many'; must be the number of classes"),
        ("nc: 0", "nc: found 0; must be the number of classes"),
    ],
)
def test_classes_are_counted_as_ultralytics_does(
    tmp_path: Path, classes: str, names: tuple[str, ...] | str
) -> None:
    make_tree(tmp_path, ["plain"])
    data_yaml = tmp_path / "data.yaml"
    data_yaml.write_text(f"train: images/train\nkpt_shape:\ntest:\n{classes}\n")
    if isinstance(names, tuple):
        assert read_yolo(data_yaml).classes == names
    else:
        with pytest.raises(InputError) as raised:
            read_yolo(data_yaml)
        assert str(raised.value) == f"{data_yaml}: {names}"


# Images


def encoded(form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = NOISE.convert(options.pop("mode", "RGB"))
    image.save(buffer, form, **options)
    return buffer.getvalue()


def with_fill_bytes(jpeg: bytes, count: int) -> bytes:
    """Return a JPEG with bytes of 0xFF before each marker, which the standard allows (B.1.1.2)."""
    fill, position, parts = b"\xff" * count, 2, [jpeg[:2]]
    while jpeg[position + 1] != 0xDA:
        length = 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
        parts += [fill, jpeg[position : position + length]]
        position += length
    return b"".join([*parts, fill, jpeg[position:-2], fill, jpeg[-2:]])


JPEGS: list[Callable[[], bytes]] = [
    lambda: encoded("JPEG"),
    lambda: encoded("JPEG", progressive=True),
    lambda: encoded("JPEG", restart_marker_blocks=1),
    lambda: encoded("JPEG", mode="CMYK"),
    lambda: encoded("JPEG", mode="L"),
    lambda: encoded("JPEG", comment=b"\xff\xd8\xff\xd9" * 9),
    lambda: encoded("MPO", save_all=True, append_images=[NOISE]),
]
OTHERS: list[Callable[[], bytes]] = [
    lambda: encoded("PNG", mode="P"),
    lambda: encoded("PNG", mode="1"),
    lambda: encoded("PNG", mode="LA"),
    lambda: encoded("PNG", mode="RGBA"),
    lambda: encoded("PNG", mode="I;16") if "I;16" in Image.MODES else encoded("PNG", mode="I"),
    lambda: encoded("TIFF", mode="CMYK"),
    lambda: encoded("TIFF", compression="tiff_lzw"),
    lambda: encoded("WEBP", lossless=True),
    lambda: encoded("BMP"),
    lambda: encoded("JPEG2000"),
]


@FEW
@given(make=st.sampled_from(JPEGS), fill=st.integers(0, 3), appended=st.binary(max_size=40))
def test_a_legal_jpeg_is_whole(make: Callable[[], bytes], fill: int, appended: bytes) -> None:
    jpeg = make()
    data = (with_fill_bytes(jpeg, fill) if jpeg.count(b"MPF") == 0 else jpeg) + appended
    picture = Picture.parse(data)
    assert picture.decode(1, (60, 40)).shape == (40, 60, 3)
    assert picture.whole_file.endswith(b"\xff\xd9")


@pytest.mark.parametrize("make", OTHERS)
def test_other_images_are_whole(make: Callable[[], bytes]) -> None:
    assert Picture.parse(make()).decode(1, (60, 40)).shape == (40, 60, 3)


def test_sixteen_bits_are_whole() -> None:
    pixels = np.arange(2400, dtype=np.uint16).reshape(40, 60) * 27
    assert Picture.parse(cv2.imencode(".png", pixels)[1].tobytes()).decode(1, (1, 1)).size == 7200


@FEW
@given(
    make=st.sampled_from(JPEGS[:-1] + OTHERS),
    fill=st.integers(0, 3),
    part=st.floats(0, 1, exclude_max=True),
)
def test_what_decodes_short_is_not_whole(make: Callable[[], bytes], fill: int, part: float) -> None:
    data = make()
    if data.startswith(b"\xff\xd8"):
        data = with_fill_bytes(data, fill)
    cut = data[: int(len(data) * min(part, 0.95))]
    with pytest.raises(PictureError):
        Picture.parse(cut).decode(1, (60, 40))


def test_a_pointer_of_git_lfs_is_called_by_its_name() -> None:
    with pytest.raises(PictureError, match=r"Git LFS has not fetched it yet; run `git lfs pull`"):
        Picture.parse(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


# Trees with more, and less, than Ultralytics trains on


def make_tree(folder: Path, members: list[str], split: str = "train") -> int:
    """Write a split of a YOLO tree, an image a member; return how many boxes it holds."""
    images, labels = folder / "images" / split, folder / "labels" / split
    images.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    boxes = 0
    for number, member in enumerate(members):
        image, label = images / f"{split}{number}.png", labels / f"{split}{number}.txt"
        if member == "gif":
            image = image.with_suffix(".gif")
        if member == "label suffix":
            label = label.with_suffix(".TXT")
        if member != "no image":
            pixels = np.random.default_rng((len(split), number)).integers(0, 256, (60, 80, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(image)
        if member != "no label":
            label.write_text("0 0.5 0.5 0.5 0.5\n0 0.25 0.25 0.1 0.1\n")
            boxes += 2
    (labels / "classes.txt").write_text("cell\n")
    (folder / "data.yaml").write_text(
        "train: images/train\nval: images/val\nnames: [cell]\n", encoding="utf-8"
    )
    return boxes


@FEW
@given(
    members=st.lists(
        st.sampled_from(["plain", "gif", "no image", "no label", "label suffix"]), max_size=6
    )
)
def test_boxes_of_a_tree_are_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, members: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    boxes = make_tree(folder, ["plain", *members]) + make_tree(folder, ["plain"], "val")
    source = read_yolo(folder / "data.yaml")
    read = sum(len(image.boxes) for image in source.images)
    named = sum(len(left.image.boxes) for left in source.left_out)
    assert read + named + sum(file.boxes for file in source.labels_without_image) == boxes
    assert len(source.left_out) == members.count("gif")
    assert len(source.labels_without_image) == members.count("no image")
    assert len(source.found_otherwise) == members.count("label suffix")


def test_what_is_passed_over_is_told_in_the_report(tmp_path: Path) -> None:
    make_tree(tmp_path, ["gif", "no image", *["plain"] * 3])
    make_tree(tmp_path, ["plain"] * 2, "val")
    spec = load(tmp_path, {"name": "tree", "source": {"yolo": "data.yaml"}, "size": 64})
    dataset = prepare(spec, tmp_path / "out")
    report = json.loads(dataset.report.read_text())
    assert report["images_left_out"] == [
        {
            "image": "images/train/train0.gif",
            "boxes": 2,
            "why": "Ultralytics passes over .gif files; save it as PNG or JPEG",
        }
    ]
    assert report["labels_without_image"] == [{"labels": "labels/train/train1.txt", "boxes": 2}]
    assert report["warnings"][:2] == [
        "1 images with 2 boxes are left out, such as images/train/train0.gif: Ultralytics passes "
        "over .gif files; save it as PNG or JPEG",
        "1 label files with 2 boxes have no image, such as labels/train/train1.txt",
    ]
    (tmp_path / "labels" / "train" / "train1.txt").unlink()
    assert prepare(spec, tmp_path / "out").fingerprint != dataset.fingerprint


def test_a_list_leaves_out_what_it_does_not_name(tmp_path: Path) -> None:
    make_tree(tmp_path, ["plain", "plain", "no image"])
    (tmp_path / "data.yaml").write_text("train: list.txt\nnames: [cell]\n")
    (tmp_path / "list.txt").write_text("./images/train/train0.png\n")
    source = read_yolo(tmp_path / "data.yaml")
    assert len(source.images) == 1
    assert [file.name for file in source.labels_without_image] == ["labels/train/train2.txt"]


def test_a_folder_of_gifs_alone_is_refused_by_name(tmp_path: Path) -> None:
    make_tree(tmp_path, ["gif"])
    with pytest.raises(InputError, match=r"no image in .* that Ultralytics reads, but train0.gif"):
        read_yolo(tmp_path / "data.yaml")
