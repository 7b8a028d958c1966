"""Writes every image of a dataset at its prepared size; which split it is in is not known yet."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sweep.data.cleaning import Box, CleanDataset
from sweep.data.dataset_file import DatasetSpec
from sweep.data.packing.digests import digest_of
from sweep.data.packing.resize import Placement
from sweep.data.reading.picture import (
    SUFFIXES,
    Picture,
    PictureError,
    Pixels,
    WrongSizeError,
    encode_jpeg,
)
from sweep.data.reading.source import SourceImage
from sweep.data.splitting.similar import Look, look_of
from sweep.errors import InputError, SweepError
from sweep.files.atomic_write import write_file


@dataclass(frozen=True, kw_only=True)
class DrawnImage:
    """One image as prepared."""

    number: int
    """Image id and file stem: its place among all images of the source that were had, from 1."""
    file_name: str
    source: str
    """Its name in the source."""
    width: int
    """Pixels."""
    height: int
    boxes: tuple[Box, ...]
    """In pixels of the prepared image."""
    turned: bool
    """Whether its pixels were turned as EXIF says."""
    look: Look


def draw_images(
    spec: DatasetSpec,
    clean: CleanDataset,
    digests: Sequence[str],
    folder: Path,
    progress: Callable[[int, int], None],
) -> tuple[list[DrawnImage], dict[str, str]]:
    """Write every image of `clean` into `folder`, named by its number.

    Returns:
        The images, and why others were left out, by name.

    Args:
        spec: The dataset file.
        clean: The dataset.
        digests: SHA-256 of each image's bytes.
        folder: An empty folder.
        progress: Told the images done and in all, in this thread.

    Raises:
        InputError: If an image changed, disagrees with its annotated size, or is damaged and the
            dataset file does not leave such images out.
        SweepError: If memory ran out.
        OSError: If the folder cannot be written.
    """
    total = len(digests)
    drawn: list[DrawnImage] = []
    damaged: dict[str, str] = {}
    # Decoding, resizing and encoding leave Python's lock, so threads do.
    with ThreadPoolExecutor() as pool:
        try:
            found = pool.map(
                lambda index: _draw(spec, clean, index, digests[index], folder), range(total)
            )
            for source, image in zip(clean.source.images, found, strict=True):
                if isinstance(image, str):
                    damaged[source.name] = image
                else:
                    drawn.append(image)
                progress(len(drawn) + len(damaged), total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return drawn, damaged


def _draw(
    spec: DatasetSpec, clean: CleanDataset, index: int, digest: str, folder: Path
) -> DrawnImage | str:
    """Return the image once it is written, or why it is left out."""
    image = clean.source.images[index]
    try:
        picture = Picture.parse(_read(image, digest))
        placement = Placement.of(image.width, image.height, spec.resize, spec.size)
        turn = picture.turn_for(image.width, image.height)
        data, suffix, pixels = _redrawn(picture, turn, placement)
    except WrongSizeError as error:
        raise InputError(f"{image.path or image.name}: {error}") from error
    except MemoryError as error:
        raise SweepError(
            f"{image.path or image.name}: memory ran out while it was prepared; end other programs "
            "and prepare again"
        ) from error
    except PictureError as error:
        if spec.damaged == "leave out":
            return str(error)
        raise InputError(
            f"{image.path or image.name}: {error}, or set `damaged: leave out`"
        ) from error
    drawn = DrawnImage(
        number=index + 1,
        file_name=f"{index + 1:06d}{suffix}",
        source=image.name,
        width=placement.canvas[0],
        height=placement.canvas[1],
        boxes=tuple(box.at(placement.box(*box.corners)) for box in clean.boxes[index]),
        turned=turn != 1,
        look=look_of(placement.inside(pixels)),
    )
    write_file(folder / drawn.file_name, data)
    return drawn


def _read(image: SourceImage, digest: str) -> bytes:
    try:
        data = image.read()
    except OSError as error:
        raise InputError(f"{image.path}: cannot be read: {error.strerror}") from error
    if digest_of(data) != digest:
        raise InputError(f"{image.path}: changed while it was being prepared; prepare again")
    return data


def _redrawn(picture: Picture, turn: int, placement: Placement) -> tuple[bytes, str, Pixels]:
    """Return the image's file as prepared, its suffix and its pixels.

    The file is the source's own if no pixel changes.
    """
    pixels = placement.draw(picture.decode(turn, placement.drawn))
    if placement.keeps_pixels and picture.orientation == 1 and picture.format in SUFFIXES:
        return picture.whole_file, SUFFIXES[picture.format], pixels
    return encode_jpeg(pixels), ".jpg", pixels
