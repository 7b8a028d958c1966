"""What a dataset is before it is prepared: images with boxes, whatever format they came in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from sweep.data.annotation_fixes import AnnotationFix, Corners, Reason
from sweep.data.prepared import Split
from sweep.data.reading.file_names import FoundFile


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatedBox:
    """Where an annotation's box is."""

    x: float
    """Left edge in px of the image, from the image's left edge."""
    y: float
    """Top edge, px."""
    width: float
    height: float
    annotation: int | str | None = field(default=None, compare=False)
    """Its id in a COCO file, if it has one; its line in a YOLO label file."""

    @property
    def corners(self) -> Corners:
        """Left, top, width and height, px."""
        return self.x, self.y, self.width, self.height

    def at(self, corners: Corners) -> Self:
        """Return the box at another place."""
        x, y, width, height = corners
        return replace(self, x=x, y=y, width=width, height=height)

    def fix(self, reason: Reason, image: str, after: "AnnotatedBox | None") -> AnnotationFix:
        """Return that this box of the image was replaced by another one, or left out."""
        return AnnotationFix(
            reason=reason,
            image=image,
            annotation=self.annotation,
            before=self.corners,
            after=None if after is None else after.corners,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceBox(AnnotatedBox):
    """One annotated box, as found: it may leave its image or have no area."""

    category: str
    """Name of its class in the source."""
    crowd: bool = False
    """Whether it marks a group rather than one object (COCO's `iscrowd`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceImage:
    """One image and its boxes."""

    name: str
    """What messages call it: its path in the source."""
    width: int
    """Pixels, of the image as annotated."""
    height: int
    boxes: tuple[SourceBox, ...]
    read: Callable[[], bytes]
    """Returns the encoded image; raises OSError if it cannot."""
    path: Path | None = None
    """Its file; None if the image is drawn."""
    url: str | None = None
    """Where it can be fetched."""
    group: str | None = None
    """The group it is of, if its entry in the source was asked for one."""
    split: Split | None = None
    """The split it belongs to in the source, if that has splits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """An image that the prepared dataset does without."""

    image: SourceImage
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelFile:
    """A label file that no image belongs to."""

    name: str
    """Its path in the source."""
    boxes: int
    """How many rows it has."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """All images of a dataset, in the source's order."""

    images: tuple[SourceImage, ...]
    classes: tuple[str, ...]
    """Names without repeats, in the source's order; some may have no box."""
    mended: tuple[AnnotationFix, ...] = ()
    """What was mended while reading."""
    notes: tuple[str, ...] = ()
    """What the user should know of how it was read."""
    left_out: tuple[LeftOut, ...] = ()
    """Images that could not be had, not be decoded, or are of a format that is not trained on."""
    found_otherwise: tuple[FoundFile, ...] = ()
    """Files that were found though their names are written otherwise."""
    labels_without_image: tuple[LabelFile, ...] = ()

    @property
    def all_images(self) -> tuple[SourceImage, ...]:
        """Those that are left out after the others."""
        return *self.images, *(left.image for left in self.left_out)

    def without(self, why: Mapping[str, str]) -> "Source":
        """Return the source without the images of these names, which are left out for a reason."""
        left_out = tuple(
            LeftOut(image=image, why=why[image.name]) for image in self.images if image.name in why
        )
        return replace(
            self,
            images=tuple(image for image in self.images if image.name not in why),
            mended=tuple(mending for mending in self.mended if mending.image not in why),
            left_out=self.left_out + left_out,
        )
