import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sweep.data.dataset_file import Resize
from sweep.data.packing.resize import PADDING_GREY, Placement
from sweep.data.reading.picture import EXIF_ORIENTATION, Picture, PictureError, Pixels, encode_jpeg

# How a viewer's picture is stored so that the EXIF orientation makes it upright again.
STORED = {
    1: lambda image: image,
    2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
    7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
}


def encoded(pixels: Pixels, orientation: int = 1, form: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    buffer = io.BytesIO()
    STORED[orientation](Image.fromarray(pixels)).save(
        buffer, form, exif=exif, **({"quality": 100, "subsampling": 0} if form == "JPEG" else {})
    )
    return buffer.getvalue()


def edges(profile: np.ndarray) -> tuple[float, float]:
    """Return where a bright bar in a dark row begins and ends, with parts of pixels."""
    mass = profile.sum()
    centre = (profile * (np.arange(len(profile)) + 0.5)).sum() / mass
    return float(centre - mass / 2), float(centre + mass / 2)


SIDES = st.integers(160, 700) | st.sampled_from([320, 480, 640, 1024])


@settings(max_examples=60, deadline=None)
@given(
    sides=st.tuples(SIDES, SIDES),
    orientation=st.integers(1, 8),
    resize=st.sampled_from(["letterbox", "stretch", "none"]),
    size=st.integers(96, 320),
    data=st.data(),
)
def test_boxes_follow_the_pixels_within_half_a_source_pixel(
    sides: tuple[int, int], orientation: int, resize: Resize, size: int, data: st.DataObject
) -> None:
    width, height = sides
    # Off the rim, where interpolation has no neighbour, and some pixels large when drawn.
    x, wide = (data.draw(st.integers(width // n, width // 2 - 8)) for n in (10, 4))
    y, high = (data.draw(st.integers(height // n, height // 2 - 8)) for n in (10, 4))
    # Not black and white: filters overshoot at an edge, and what is clipped there would be missed.
    pixels = np.full((height, width, 3), 64, np.uint8)
    pixels[y : y + high, x : x + wide] = 192

    picture = Picture.parse(encoded(pixels, orientation))
    placement = Placement.of(width, height, resize, size)
    drawn = placement.draw(picture.decode(picture.turn_for(width, height), placement.drawn))
    assert drawn.shape == (*placement.canvas[::-1], 3)

    left, top = placement.corner
    right, bottom = left + placement.drawn[0], top + placement.drawn[1]
    inner = (drawn[top:bottom, left:right, 1].astype(float) - 64) / 128
    box_x, box_y, box_wide, box_high = placement.box(x, y, wide, high)
    across, down = width / placement.drawn[0], height / placement.drawn[1]
    for (start, end), found_start, found_length, px in (
        (edges(inner.sum(axis=0) / box_high), box_x - left, box_wide, across),
        (edges(inner.sum(axis=1) / box_wide), box_y - top, box_high, down),
    ):
        assert start * px == pytest.approx(found_start * px, abs=0.5)
        assert end * px == pytest.approx((found_start + found_length) * px, abs=0.5)
    back = (box_x - left) * across, (box_y - top) * down
    assert (*back, box_wide * across, box_high * down) == pytest.approx((x, y, wide, high))


@settings(max_examples=100, deadline=None)
@given(
    width=st.integers(1, 5000),
    height=st.integers(1, 5000),
    resize=st.sampled_from(["letterbox", "stretch", "none"]),
)
def test_the_whole_image_maps_to_what_is_drawn(width: int, height: int, resize: Resize) -> None:
    placement = Placement.of(width, height, resize, 320)
    left, top, wide, high = placement.box(0, 0, width, height)
    assert (left, top) == placement.corner
    assert wide == pytest.approx(placement.drawn[0])
    assert high == pytest.approx(placement.drawn[1])
    assert left >= 0 and top >= 0
    assert left + wide <= placement.canvas[0] + 1e-9 and top + high <= placement.canvas[1] + 1e-9


def test_letterbox_pads_with_grey_on_both_sides() -> None:
    placement = Placement.of(200, 100, "letterbox", 100)
    drawn = placement.draw(np.full((100, 200, 3), 255, np.uint8))
    assert placement.corner == (0, 25)
    assert (drawn[:25] == PADDING_GREY).all() and (drawn[75:] == PADDING_GREY).all()
    assert (drawn[25:75] == 255).all()


def test_shrinking_averages() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    drawn = Placement.of(400, 400, "letterbox", 40).draw(noise)
    assert np.abs(drawn.astype(float) - 127.5).max() < 40  # single pixels reach 127.5


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_reduced_decoding_keeps_the_picture(form: str) -> None:
    y, x = np.mgrid[0:512, 0:512]
    pixels = np.stack([x // 2, y // 2, (x + y) // 4], axis=2).astype(np.uint8)
    picture = Picture.parse(encoded(pixels, 6, form))
    small = picture.decode(6, (60, 60))
    assert len(small) == (64 if form == "JPEG" else 512)
    fine = cv2.resize(pixels[..., ::-1].copy(), (64, 64), interpolation=cv2.INTER_AREA)
    found = cv2.resize(small, (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(found.astype(float) - fine).max() < 8


def test_pixels_annotated_as_stored_are_not_turned() -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    picture = Picture.parse(encoded(pixels, 6))
    assert (picture.width, picture.height) == (40, 60)
    assert picture.turn_for(60, 40) == 6
    assert picture.turn_for(40, 60) == 1
    with pytest.raises(PictureError, match="is 40x60 px with EXIF orientation 6, but annotated as"):
        picture.turn_for(41, 60)


def test_swapped_sides_that_no_orientation_explains_are_refused() -> None:
    picture = Picture.parse(encoded(np.zeros((40, 60, 3), np.uint8)))
    with pytest.raises(PictureError, match="but annotated as 40x60"):
        picture.turn_for(40, 60)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("part", [0.0, 0.2, 0.5, 0.9])
def test_cut_off_images_are_refused(form: str, part: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, form)
    whole = buffer.getvalue()
    with pytest.raises(PictureError):
        Picture.parse(whole[: int(len(whole) * part)]).decode(1, (1, 1))


def test_a_cut_off_photo_with_a_whole_preview_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    preview = encode_jpeg(noise[:20, :20])
    whole = encode_jpeg(noise)
    block = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview
    photo = whole[:2] + block + whole[2:]
    assert Picture.parse(photo).whole_file == photo
    with pytest.raises(PictureError, match="its end is missing"):
        Picture.parse(photo[:-500])


def test_what_a_phone_appends_is_left_out() -> None:
    whole = encode_jpeg(np.zeros((20, 20, 3), np.uint8))
    assert Picture.parse(whole + b"appended").whole_file == whole
