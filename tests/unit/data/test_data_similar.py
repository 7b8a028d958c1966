import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.data.prepare import prepare
from sweep.data.prepared import SPLITS
from sweep.data.reading.picture import Pixels, encode_jpeg
from sweep.data.splitting.similar import look_of, similar_groups
from tests.conftest import SHARED_DATA
from tests.datasets import make_photos

BCCD = SHARED_DATA / "bccd" / "images"


def photo(seed: int) -> Pixels:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    drawn: Pixels = cv2.resize(coarse, (400, 300), interpolation=cv2.INTER_CUBIC)
    return drawn


def recompressed(pixels: Pixels) -> Pixels:
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 30])
    found: Pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return found


def test_copies_are_found_and_others_are_not() -> None:
    looks = [look_of(photo(seed)) for seed in range(200)]
    assert similar_groups(looks) == list(range(200))
    for change in (
        recompressed,
        lambda pixels: cv2.resize(pixels, (133, 100), interpolation=cv2.INTER_AREA),
        lambda pixels: cv2.convertScaleAbs(pixels, alpha=1, beta=5),
        lambda pixels: cv2.GaussianBlur(pixels, (5, 5), 0),
        lambda pixels: pixels[2:, 3:],
    ):
        copies = [look_of(change(photo(seed))) for seed in range(20)]
        assert similar_groups(looks + copies)[200:] == list(range(20))


def test_likeness_is_not_handed_on() -> None:
    steps = [cv2.convertScaleAbs(photo(0), alpha=1, beta=beta) for beta in (0, 5, 10, 15)]
    looks = [look_of(step) for step in steps]
    assert similar_groups([looks[0], looks[3]]) == [0, 1]
    assert similar_groups([looks[1], looks[2]]) == [0, 0]
    assert similar_groups(looks) == [0, 0, 2, 2]


def frame(camera: int, x: float, y: float, grey: int) -> Pixels:
    """What a fixed camera sees with one thing at a place, in parts of the image."""
    pixels = photo(camera)
    cv2.circle(pixels, (int(400 * x), int(300 * y)), 14, (grey, grey, grey), -1)
    return pixels


def test_frames_of_one_place_are_no_repeats() -> None:
    draw = np.random.default_rng(0)
    frames = [frame(index % 3, *draw.random(2), 255 * (index % 2)) for index in range(60)]
    groups = similar_groups([look_of(pixels) for pixels in frames])
    assert len(set(groups)) > 50
    again = similar_groups([look_of(recompressed(pixels)) for pixels in frames for _ in range(2)])
    assert again[::2] == again[1::2]


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 1), st.floats(0, 1), st.floats(0, 1), st.sampled_from([0, 128, 255])
        ),
        min_size=1,
        max_size=8,
    )
)
def test_each_image_repeats_the_first_of_its_group(
    frames: list[tuple[int, float, float, int]],
) -> None:
    looks = [look_of(frame(*seen)) for seen in frames]
    groups = similar_groups(looks)
    firsts = sorted(set(groups))
    assert all(groups[first] == first for first in firsts)
    for index, group in enumerate(groups):
        assert group <= index
        assert similar_groups([looks[group], looks[index]]) == [0, 0]
        earlier = [first for first in firsts if first < group]
        assert all(similar_groups([looks[one], looks[index]]) == [0, 1] for one in earlier)


def test_even_pictures_of_other_greys_are_not_alike() -> None:
    grey = [look_of(np.full((40, 40, 3), level, np.uint8)) for level in (10, 60, 200, 10)]
    assert similar_groups(grey) == [0, 1, 2, 0]
    assert similar_groups([]) == []


@pytest.mark.skipif(not BCCD.exists(), reason=f"needs {BCCD}, which is not shipped")
def test_photos_of_one_kind_are_not_taken_for_one() -> None:
    looks = [look_of(cv2.imread(str(file))) for file in sorted(BCCD.iterdir())[:150]]
    assert len(set(similar_groups(looks))) > 140


def test_near_identical_photos_are_on_one_side(tmp_path: Path) -> None:
    for seed in range(5):
        folder = tmp_path / str(seed)
        folder.mkdir()
        split = {"train": 0.5, "val": 0.25, "test": 0.25, "seed": seed}
        spec = make_photos(folder, split=split)
        for index in range(12):
            original = cv2.resize(photo(index % 9), (80, 60))
            pixels = recompressed(original) if index >= 9 else original
            (folder / "images" / f"{index}.jpg").write_bytes(encode_jpeg(pixels))
        dataset = prepare(spec, folder / "out")
        side = {
            image["source"]: split
            for split in SPLITS
            for image in json.loads(dataset.annotations(split).read_text())["images"]
        }
        report = json.loads(dataset.report.read_text())
        pairs = [[f"{index}.jpg", f"{index + 9}.jpg"] for index in range(3)]
        assert report["images_alike"] == pairs
        assert all(side[one] == side[other] for one, other in pairs)
