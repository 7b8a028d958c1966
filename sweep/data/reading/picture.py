"""Encoded images: their size and orientation, and their pixels as annotated."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

Pixels = NDArray[np.uint8]
"""Shape (height, width, 3), blue-green-red."""

EXIF_ORIENTATION = 0x0112
JPEG_QUALITY = 95
MAX_PIXELS = 1 << 28
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "WEBP": ".webp"}
"""Formats that are copied as they are, and the suffix that names them."""

# Not `Image.open`: where Ultralytics is imported it replaces that, and its own tries to install a
# package for a file of no known format (ultralytics/utils/patches.py).
_READERS = {
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    b"\x89PNG": PngImagePlugin.PngImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
    b"RIFF": WebPImagePlugin.WebPImageFile,
    b"II*\0": TiffImagePlugin.TiffImageFile,
    b"MM\0*": TiffImagePlugin.TiffImageFile,
    b"\xff\x4f\xff\x51": Jpeg2KImagePlugin.Jpeg2KImageFile,
    b"\0\0\0\x0cjP": Jpeg2KImagePlugin.Jpeg2KImageFile,
}
"""First bytes of a file -> Pillow's reader."""
_FORMATS = "JPEG, PNG, BMP, WebP, TIFF, JPEG 2000"
_LFS_POINTER = b"version https://git-lfs"
_JPEG_END = b"\xff\xd9"

_TURNS: dict[int, Callable[[Any], Any]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: cv2.transpose,
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.flip(cv2.transpose(pixels), -1),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""What makes an image upright that is stored with this EXIF orientation."""


class PictureError(Exception):
    """The bytes are no image that can be used. Name the file in front of the message."""


class WrongSizeError(PictureError):
    """The image is another one than was annotated. Name the file in front of the message."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An encoded image whose header is known; its pixels are not decoded yet."""

    data: bytes
    width: int
    """Pixels as stored, before any turning."""
    height: int
    orientation: int
    """EXIF orientation, 1 (upright) to 8."""
    format: str
    """Pillow's name of the format."""

    @classmethod
    def parse(cls, data: bytes) -> "Picture":
        """Read the header of an encoded image; no pixel is decoded, whatever size it claims.

        Raises:
            PictureError: If it is no image, has too many pixels, or is a JPEG that is cut off.
        """
        file = io.BytesIO(data)
        with _opened(file) as image:
            header = file.tell()
            picture = cls(
                data=data,
                width=image.width,
                height=image.height,
                orientation=_orientation(image),
                format=image.format or "",
            )
            # Coded pixels hold no end marker, and the search starts at the end, where it is. So a
            # whole photo is decoded once, by `decode`.
            if picture._is_jpeg and data.rfind(_JPEG_END, header) < 0:
                _refuse_damaged(image, "its end is missing")
        return picture

    @property
    def whole_file(self) -> bytes:
        """The file without what phones append to a JPEG: Ultralytics would save it anew."""
        end = self.data.rfind(_JPEG_END) + 2 if self._is_jpeg else len(self.data)
        return self.data[:end]

    @property
    def _is_jpeg(self) -> bool:
        return SUFFIXES.get(self.format) == ".jpg"

    def turn_for(self, width: int, height: int) -> int:
        """Return the orientation to undo so that the image has the annotated width and height.

        Annotators see photos upright, so that is tried first; some tools annotate the pixels as
        stored.

        Raises:
            WrongSizeError: If neither has that size.
        """
        stored = self.width, self.height
        if _upright(stored, self.orientation) == (width, height):
            return self.orientation
        if stored == (width, height):
            return 1
        raise WrongSizeError(
            f"is {self.width}x{self.height} px with EXIF orientation {self.orientation}, "
            f"but annotated as {width}x{height}; correct its entry or fetch the original"
        )

    def decode(self, turn: int, at_least: tuple[int, int]) -> Pixels:
        """Return the pixels, turned.

        May be smaller than the image by a whole factor that divides both sides, so that positions
        stay exact; a JPEG is decoded faster that way.

        Args:
            turn: The orientation to undo (`turn_for`).
            at_least: Width and height that the turned result must not fall below, px.

        Raises:
            PictureError: If the pixels cannot be decoded.
        """
        wide, high = at_least if turn < 5 else at_least[::-1]
        flag = cv2.IMREAD_COLOR
        for factor, reduced in _REDUCED.items():
            exact = self._is_jpeg and self.width % factor == 0 and self.height % factor == 0
            if exact and self.width // factor >= wide and self.height // factor >= high:
                flag = reduced
                break
        if not self._is_jpeg:
            with _opened(io.BytesIO(self.data)) as image:
                _refuse_damaged(image)
        buffer = np.frombuffer(self.data, np.uint8)
        try:
            pixels = cv2.imdecode(buffer, flag | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error as error:
            if error.code == cv2.Error.StsNoMem:
                raise MemoryError(error.err) from error
            raise PictureError(f"cannot be decoded: {error.err}") from error
        if pixels is None:
            raise PictureError("cannot be decoded; it is damaged or of an unknown format")
        turned: Pixels = _TURNS[turn](pixels)
        return turned


_REDUCED = {
    8: cv2.IMREAD_REDUCED_COLOR_8,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    2: cv2.IMREAD_REDUCED_COLOR_2,
}


def read_pixels(path: Path) -> Pixels:
    """Return what `cv2.imread` makes of a file, upright; but its name may be any that a disk has.

    `cv2.imread` itself ends the process where a name is no Unicode.

    Raises:
        OSError: If it cannot be read or decoded.
    """
    data = np.fromfile(path, np.uint8)
    pixels: Pixels | None = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if pixels is None:
        raise OSError(f"{path.name} cannot be decoded; it is damaged")
    return pixels


def encode_jpeg(pixels: Pixels) -> bytes:
    """Return an image as JPEG of `JPEG_QUALITY`, its colours as fine as its brightness.

    Coarser colours, the default, cost 9 dB where small bright things border on others.
    """
    settings = [
        *(cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ]
    _, data = cv2.imencode(".jpg", pixels, settings)
    return bytes(data)


def upright_size(path: Path) -> tuple[int, int]:
    """Return width and height of an image file as a viewer shows it, px. Reads its header only.

    Raises:
        PictureError: If it is no image.
        OSError: If it cannot be read.
    """
    with path.open("rb") as file, _opened(file) as image:
        return _upright((image.width, image.height), _orientation(image))


def _upright(sides: tuple[int, int], orientation: int) -> tuple[int, int]:
    return sides if orientation < 5 else sides[::-1]


def _opened(file: BinaryIO) -> Image.Image:
    """Return Pillow's image whose pixels are not decoded yet."""
    beginning = file.read(len(_LFS_POINTER))
    if beginning == _LFS_POINTER:
        raise PictureError("Git LFS has not fetched it yet; run `git lfs pull`")
    reader = next((_READERS[start] for start in _READERS if beginning.startswith(start)), None)
    if reader is None:
        raise PictureError(f"not an image of a known format: {_FORMATS}")
    file.seek(0)
    try:
        image: Image.Image = reader(file)
    except Exception as error:  # what Pillow raises for a damaged file depends on its format
        _raise_if_of_the_machine(error)
        raise PictureError(f"not a whole image: {error}; fetch it again") from error
    if image.width * image.height > MAX_PIXELS:
        raise PictureError(f"is {image.width}x{image.height} px; must be {MAX_PIXELS} at most")
    return image


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # whatever Pillow raises for a damaged EXIF block: it hides no pixels
        return 1
    return found if found in _TURNS else 1


def _refuse_damaged(image: Image.Image, because: str = "") -> None:
    """Refuse what is cut off or damaged; OpenCV may not notice."""
    try:
        image.load()
    except Exception as error:
        _raise_if_of_the_machine(error)
        raise PictureError(f"not a whole image: {because or error}; fetch it again") from error


def _raise_if_of_the_machine(error: Exception) -> None:
    """Let an error pass that says nothing about the image: it may be left out for its own only."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
        raise error
