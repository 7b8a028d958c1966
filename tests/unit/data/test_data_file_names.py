"""Names of files as people have them: found where only one can be meant, and told."""

import json
import unicodedata
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweep.data.cleaning import read_clean
from sweep.data.prepare import prepare
from sweep.data.reading.coco import read_coco
from sweep.data.reading.file_names import AmbiguousNameError, FileNames, FoundFile
from sweep.data.reading.source import Source
from sweep.data.reading.yolo import read_yolo
from sweep.errors import InputError
from tests.datasets import make_photos


def read(folder: Path, *written: str) -> Source:
    """Read a COCO file that names these images, in the folder `images` beside it."""
    document = {
        "images": [
            {"id": number, "file_name": name, "width": 9, "height": 9}
            for number, name in enumerate(written)
        ],
        "annotations": [],
        "categories": [],
    }
    (folder / "a.json").write_text(json.dumps(document))
    return read_coco(folder / "a.json", folder / "images")


def make_files(folder: Path, *names: str) -> None:
    for name in names:
        file = folder / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


@pytest.mark.parametrize(
    ("written", "file"),
    [
        ("train\\a b.jpg", "train/a b.jpg"),
        (".\\train\\a b.jpg", "train/a b.jpg"),
        ("train/a%20b.jpg", "train/a b.jpg"),
        ("train%2Fa%20b.jpg", "train/a b.jpg"),
        ("train/a b.JPG", "train/a b.jpg"),
        ("Train/A B.jpg", "train/a b.jpg"),
        ("images/train/a b.jpg", "train/a b.jpg"),
        ("../images/train/a b.jpg", "train/a b.jpg"),
        ("/content/data/images/train/a b.jpg", "train/a b.jpg"),
        ("C:\\data\\train\\a b.jpg", "train/a b.jpg"),
        ("file:///data/train/a%20b.jpg", "train/a b.jpg"),
        (unicodedata.normalize("NFD", "zoë.png"), unicodedata.normalize("NFC", "zoë.png")),
        ("50%.png", "50%25.png"),
    ],
)
def test_an_image_is_found_by_another_spelling(tmp_path: Path, written: str, file: str) -> None:
    make_files(tmp_path, "train/a b.jpg", unicodedata.normalize("NFC", "zoë.png"), "50%25.png")
    source = read(tmp_path, written)
    (image,) = source.images
    assert image.path == tmp_path / "images" / file
    assert image.name == written
    found = () if written.startswith("../") else (FoundFile(written=written, file=file),)
    assert source.found_otherwise == found


def test_the_spelling_that_is_there_is_taken_as_it_is(tmp_path: Path) -> None:
    make_files(tmp_path, "a.jpg", "A.jpg", "a%20b.jpg", "a b.jpg")
    source = read(tmp_path, "a.jpg", "A.jpg", "a%20b.jpg", "a b.jpg", "a\\b.jpg")
    assert [image.path.name for image in source.images[:4] if image.path] == [
        *("a.jpg", "A.jpg", "a%20b.jpg", "a b.jpg")
    ]
    assert source.found_otherwise == ()
    assert source.images[4].path == tmp_path / "images" / "a" / "b.jpg"


def test_a_file_that_is_another_images_own_is_not_taken(tmp_path: Path) -> None:
    make_files(tmp_path, "a.jpg")
    source = read(tmp_path, "A.jpg", "a.jpg")  # the first may still have to be fetched
    assert [image.path for image in source.images] == [
        tmp_path / "images" / "A.jpg",
        tmp_path / "images" / "a.jpg",
    ]


def test_two_files_that_may_be_meant_are_named(tmp_path: Path) -> None:
    make_files(tmp_path, "B.JPG", "B.JPg", "B.jpg")
    with pytest.raises(InputError, match=r'file_name: found "B.jPG"; may be B.JPG or B.JPg; w'):
        read(tmp_path, "B.jpg", "B.jPG")


def test_links_are_followed_and_only_a_name_that_leaves_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "0f3c").touch()
    make_files(tmp_path, "b.jpg")
    (tmp_path / "images" / "a.jpg").symlink_to(tmp_path / "cache" / "0f3c")
    (tmp_path / "images" / "all").symlink_to(tmp_path / "cache")
    source = read(tmp_path, "a.jpg", "all\\0f3c", "train/../b.jpg")
    assert all(image.path and image.path.exists() for image in source.images)
    for name in ("../cache/0f3c", "all/../../cache/0f3c", "..\\cache\\0f3c", "/cache/0f3c"):
        with pytest.raises(InputError, match="must lie in the image folder"):
            read(tmp_path, name)


def test_a_missing_image_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    spec = make_photos(tmp_path)
    images = tmp_path / "images"
    (images / "7.jpg").rename(images / "7.png")
    with pytest.raises(InputError, match=r"1 of 12 .*\(the nearest file there: 7.png\)$"):
        prepare(spec, tmp_path / "out")
    (images / "7.jpg").symlink_to("absent")
    with pytest.raises(InputError, match=r"links to what is not here: `dvc pull` or `git annex"):
        prepare(spec, tmp_path / "out")


def test_what_was_found_otherwise_is_told(tmp_path: Path) -> None:
    spec = make_photos(tmp_path)
    text = (tmp_path / "a.json").read_text().replace('"5.jpg"', '"images\\\\5.JPG"')
    (tmp_path / "a.json").write_text(text)
    report = json.loads(prepare(spec, tmp_path / "out").report.read_text())
    assert report["found_otherwise"] == [{"written": "images\\5.JPG", "file": "5.jpg"}]
    assert report["warnings"][0] == (
        "1 files were found by another name than is written, such as 5.jpg for images\\5.JPG"
    )


def test_predefined_splits_are_found_alike(tmp_path: Path) -> None:
    source = {"coco": "a.json", "images": "images", "splits": {"train": "t.txt", "val": "v.txt"}}
    spec = make_photos(tmp_path, source=source, split=None)
    lines = [f"{number}.jpg" for number in range(2, 12)]
    (tmp_path / "t.txt").write_text("\n".join([".\\0.JPG", *lines]))
    (tmp_path / "v.txt").write_text("/home/me/images/1.jpg")
    clean = read_clean(spec)
    assert [image.split for image in clean.source.images][:3] == ["train", "val", "train"]
    assert [found.file for found in clean.source.found_otherwise] == ["0.jpg", "1.jpg"]
    (tmp_path / "v.txt").write_text("1.png")
    with pytest.raises(InputError, match=r"no image '1.png'; list .* has them, such as 1.jpg$"):
        read_clean(spec)


def test_a_tree_made_on_windows_is_read(tmp_path: Path) -> None:
    make_photos(tmp_path)
    images = tmp_path / "images"
    for split, numbers in {"train": range(6), "val": range(6, 12)}.items():
        (images / split).mkdir()
        (tmp_path / "labels" / split).mkdir(parents=True)
        for number in numbers:
            (images / f"{number}.jpg").rename(images / split / f"{number}.jpg")
            suffix = "TXT" if number == 3 else "txt"
            label = tmp_path / "labels" / split / f"{number}.{suffix}"
            label.write_text("0 0.5 0.5 0.5 0.5\n")
    data_yaml = tmp_path / "data.yaml"
    listed = [f"C:\\data\\images\\val\\{number}.jpg" for number in range(6, 12)]
    (tmp_path / "val.txt").write_text("\n".join(listed))
    data_yaml.write_text("train: images\\train\nval: val.txt\nnames: [cell]\n")
    source = read_yolo(data_yaml)
    assert [len(image.boxes) for image in source.images] == [1] * 12
    assert [image.split for image in source.images] == ["train"] * 6 + ["val"] * 6
    assert {found.written: found.file for found in source.found_otherwise} == {
        "images\\train": "images/train",
        "labels/train/3.txt": "labels/train/3.TXT",
        **{name: f"images/val/{number}.jpg" for number, name in enumerate(listed, 6)},
    }


STEMS = st.text(st.sampled_from("abz09 _-.%#é漢ñ"), min_size=1, max_size=6).filter(
    lambda stem: stem.strip(" .") == stem
)
SPELLINGS = [
    lambda name: name.replace("/", "\\"),
    lambda name: unicodedata.normalize("NFD", name),
    lambda name: unicodedata.normalize("NFC", name),
    quote,
    lambda name: f"{name[:-3]}{name[-3:].upper()}",
    lambda name: name,
]
PREFIXES = ["", "./", "images/", "/mnt/elsewhere/", "D:\\data\\"]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    stems=st.lists(STEMS, min_size=1, max_size=4, unique=True),
    folder=st.sampled_from(["", "train/", "Übung/b 1/"]),
    spell=st.sampled_from(SPELLINGS),
    prefix=st.sampled_from(PREFIXES),
)
def test_any_spelling_finds_its_file_or_is_refused(
    tmp_path: Path, stems: list[str], folder: str, spell: Any, prefix: str
) -> None:
    place = Path(mkdtemp(dir=tmp_path))
    names = [f"{folder}{stem}.jpg" for stem in stems]
    make_files(place, *names)
    try:
        source = read(place, *(prefix + spell(name) for name in names))
    except InputError as error:  # a%20b and a b may both be meant by one
        assert "may be" in str(error) or "again; keep one" in str(error)
        return
    found = [image.path for image in source.images]
    assert found == [place / "images" / name for name in names]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_letter_after_a_percent_sign_is_not_read_as_a_code(tmp_path: Path, form: Any) -> None:
    make_files(tmp_path, "%0é.jpg")
    source = read(tmp_path, unicodedata.normalize(form, "%0é.jpg"))
    assert [image.path for image in source.images] == [tmp_path / "images" / "%0é.jpg"]


def test_a_million_names_are_looked_up_in_one_listing(tmp_path: Path) -> None:
    asked: list[str] = []

    def listing(below: str) -> list[str]:
        asked.append(below)
        return [f"{number}.jpg" for number in range(1000)] if below == "a" else ["a"]

    names = FileNames(tmp_path, listing)
    assert [names.find(f"a\\{number}.jpg") for number in range(1000)] == [
        f"a/{number}.jpg" for number in range(1000)
    ]
    assert sorted(asked) == ["", "a"]
    with pytest.raises(AmbiguousNameError, match=r"may be x.JPG or x.jpg; write one's name"):
        FileNames.among(tmp_path, ["x.jpg", "x.JPG"]).find("x.jpG")
