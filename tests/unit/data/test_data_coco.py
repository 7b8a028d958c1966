import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from sweep.data.reading.coco import read_coco
from sweep.errors import InputError

GOOD: dict[str, Any] = {
    "images": [
        {"id": 3, "file_name": "b1/a.jpg", "width": 640, "height": 480, "url": "https://x/a.jpg"},
        {"id": 1, "file_name": "b2/a.jpg", "width": 300, "height": 200, "url": "https://x/b.jpg"},
    ],
    "annotations": [
        {"id": 5, "image_id": 1, "category_id": 9, "bbox": [1, 2.5, 30, 40], "iscrowd": 1},
        {"id": 5, "image_id": 3, "category_id": 0, "bbox": [-1, 0, 0, 40]},
    ],
    "categories": [{"id": 9, "name": "cat"}, {"id": 0, "name": "dog"}],
}


def read(folder: Path, document: Any) -> Any:
    file = folder / "a.json"
    file.write_text(json.dumps(document))
    return read_coco(file, folder / "images", "url")


def test_reads_images_boxes_and_classes(tmp_path: Path) -> None:
    source = read(tmp_path, GOOD)
    assert source.classes == ("cat", "dog")
    assert [image.name for image in source.images] == ["b1/a.jpg", "b2/a.jpg"]
    first, second = source.images
    assert (first.width, first.height, first.url) == (640, 480, "https://x/a.jpg")
    assert first.path == tmp_path / "images" / "b1" / "a.jpg"
    assert [(box.category, box.x, box.width, box.crowd) for box in first.boxes] == [
        ("dog", -1, 0, False)
    ]
    assert [(box.category, box.y, box.crowd) for box in second.boxes] == [("cat", 2.5, True)]
    assert [(mending.reason, mending.image, mending.annotation) for mending in source.mended] == [
        ("repeated annotation ids", "b1/a.jpg", 5)
    ]


def put(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change that writes the last of `path` at the place the others name."""

    def change(document: dict[str, Any]) -> None:
        *steps, key, value = path
        place: Any = document
        for step in steps:
            place = place[step]
        if value is KeyError:
            del place[key]
        else:
            place[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (put("images", KeyError), "images: missing"),
        (put("images", {}), "images: found {}; must be a list"),
        (put("images", []), "images: found no entry"),
        (put("images", 0, 3), "images[0]: found 3; must be an object"),
        (put("images", 0, "id", KeyError), "images[0].id: missing"),
        (put("images", 0, "id", "3"), 'images[0].id: found "3"; must be a whole number'),
        (put("images", 1, "id", 3), "images[1].id: found 3 a second time"),
        (put("images", 0, "width", 0), "images[0].width: found 0; must be 1 or more"),
        (put("images", 0, "height", 1.5), "images[0].height: found 1.5; must be a whole number"),
        (put("images", 0, "height", True), "images[0].height: found true; must be a whole"),
        (put("images", 0, "file_name", ""), 'images[0].file_name: found ""; must be a text'),
        (put("images", 0, "file_name", "."), 'images[0].file_name: found "."; must lie in'),
        (put("images", 0, "file_name", "../a.jpg"), 'images[0].file_name: found "../a.jpg"; must'),
        (put("images", 0, "file_name", "..\\a.jpg"), "images[0].file_name: found"),
        (put("images", 0, "file_name", "/etc/passwd"), "images[0].file_name: found"),
        (put("images", 0, "file_name", "C:\\a.jpg"), "images[0].file_name: found"),
        (put("images", 0, "file_name", "a\0.jpg"), "images[0].file_name: found"),
        (put("images", 1, "file_name", "b1/a.jpg"), "images[1].file_name: found the file of ima"),
        (put("images", 0, "url", None), "images[0].url: missing"),
        (put("images", 0, "url", "file:///a"), 'images[0].url: found "file:///a"; must be an http'),
        (put("categories", 0, "id", 0), "categories[1].id: found 0 a second time"),
        (put("categories", 0, "name", 5), "categories[0].name: found 5; must be a text"),
        (put("annotations", 0, "id", 1.5), "annotations[0].id: found 1.5; must be a whole"),
        (put("annotations", 0, "image_id", 99), "annotations[0].image_id: found 99; no image has"),
        (put("annotations", 1, "category_id", 99), "annotations[1].category_id: found 99; no cat"),
        (put("annotations", 0, "bbox", KeyError), "annotations[0].bbox: missing"),
        (put("annotations", 0, "bbox", [1, 2, 3]), "annotations[0].bbox: found [1, 2, 3]; must be"),
        (put("annotations", 0, "bbox", [1, 2, 3, "4"]), "annotations[0].bbox: found [1, 2, 3, "),
        (
            put("annotations", 0, "bbox", [1, 2, -3, 4]),
            "annotations[0].bbox: found [1, 2, -3, 4]; ",
        ),
        (put("annotations", 0, "bbox", [10**400, 2, 3, 4]), "annotations[0].bbox: found [1000"),
        (put("annotations", 0, "bbox", [float("nan"), 2, 3, 4]), "not JSON: NaN is not a number"),
        (put("annotations", 0, "iscrowd", "no"), 'annotations[0].iscrowd: found "no"; must be 0'),
    ],
)
def test_damaged_files_are_refused_in_one_line(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], line: str
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "link").symlink_to("/")
    document = deepcopy(GOOD)
    change(document)
    with pytest.raises(InputError) as raised:
        read(tmp_path, document)
    assert str(raised.value).startswith(f"{tmp_path / 'a.json'}: {line}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000, b'{"images": 1e999}', b"[]"])
def test_what_is_no_coco_file_is_refused_in_one_line(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(text)
    with pytest.raises(InputError) as raised:
        read_coco(file, tmp_path)
    assert str(raised.value).startswith(f"{file}: ")
    assert "\n" not in str(raised.value)


def test_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_coco(tmp_path / "a.json", tmp_path)


def test_image_folder_may_be_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "images").symlink_to("elsewhere")
    assert len(read(tmp_path, GOOD).images) == 2
