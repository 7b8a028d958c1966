"""The dataset file: where the images and boxes are, and how they are prepared."""

import re
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    PrivateAttr,
    Strict,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sweep.data.data_yaml import dataset_name, is_data_yaml
from sweep.data.split_section import ImageGroups, Section, SplitSpec, WholeNumber
from sweep.errors import InputError
from sweep.files.validation import explain
from sweep.files.yaml import read_yaml

Resize = Literal["letterbox", "stretch", "none"]

DEFAULT_SIZE_PX = 640
"""Ultralytics' default of `imgsz`."""


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder", Path())
    return Path(folder, path).absolute()


def _web_address(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"found {url!r}; must be an http or https address")
    return url


def _list_beside_the_file(place: str, info: ValidationInfo) -> str:
    return str(_beside_the_file(Path(place), info)) if place.endswith(".txt") else place


FilePath = Annotated[Path, AfterValidator(_beside_the_file)]
"""A path that is relative to the dataset file; absolute once loaded."""


SplitPlace = Annotated[str, Field(min_length=1), AfterValidator(_list_beside_the_file)]
"""A folder in the image folder, or a text file that lists file names, one a line."""


class PredefinedSplits(Section):
    """Where the images of each split are, for a dataset that is split already."""

    train: SplitPlace
    val: SplitPlace
    test: SplitPlace | None = None


class CocoSource(Section):
    """Boxes in a COCO file, images in a folder."""

    coco: FilePath
    """The COCO file."""
    images: FilePath
    """The folder that the file names in `coco` are relative to."""
    coco_url: Annotated[str, AfterValidator(_web_address)] | None = None
    """Where `coco` is fetched from if it is not there."""
    coco_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """Of the file at `coco_url`: what is fetched must be it, so that all have the same."""
    download: Annotated[str, Field(min_length=1)] | None = None
    """Key of an image's entry in `coco` that holds the URL it is fetched from if it is not there,
    such as `flickr_url` or `coco_url`."""
    gone: Literal["refuse", "leave out"] = "refuse"
    """What becomes of images that their servers do not have any more."""
    boxes: Literal["annotated", "segmentation"] = "annotated"
    """`segmentation` takes the box around an annotation's segmentation, where it has one."""
    splits: PredefinedSplits | None = None
    """The splits that the dataset has; kept unless `split` draws others."""

    @model_validator(mode="after")
    def _pinned(self) -> "CocoSource":
        if (self.coco_url is None) != (self.coco_sha256 is None):
            raise ValueError(
                "coco_url: give coco_url and coco_sha256 both, the address of the COCO file and "
                "its SHA-256, or neither"
            )
        return self


class YoloSource(Section):
    """A tree of images and label files as Ultralytics reads it."""

    yolo: FilePath
    """Its `data.yaml`."""


class SyntheticSource(Section):
    """Drawn images: needs no download, and a small network learns it within minutes."""

    synthetic: Literal["shapes"]
    images: Annotated[int, Strict(), Field(ge=1)] = 272
    seed: WholeNumber = 0


def _kind(source: Any) -> str | None:
    if isinstance(source, Section):
        return type(source).__name__
    kinds = {"coco": "CocoSource", "yolo": "YoloSource", "synthetic": "SyntheticSource"}
    found = [kinds[key] for key in kinds if isinstance(source, dict) and key in source]
    return found[0] if len(found) == 1 else None


Source = Annotated[
    Annotated[CocoSource, Tag("CocoSource")]
    | Annotated[YoloSource, Tag("YoloSource")]
    | Annotated[SyntheticSource, Tag("SyntheticSource")],
    Discriminator(
        _kind,
        custom_error_type="source_kind",
        custom_error_message="must have exactly one of the keys coco, yolo, synthetic, "
        "such as `source: {coco: annotations.json, images: images}`",
    ),
]


class DatasetSpec(Section):
    """The whole dataset file."""

    MAX_SIZE_PX: ClassVar[int] = 8192

    name: str
    """Names the prepared folder: letters, digits, `.`, `_` and `-`."""
    source: Source
    classes: dict[str, tuple[str, ...]] | None = None
    """Class -> source classes that are merged into it; None keeps every class as it is."""
    drop: tuple[str, ...] = ()
    """Source classes whose boxes are left out."""
    damaged: Literal["refuse", "leave out"] = "refuse"
    """What becomes of images that cannot be decoded."""
    size: Annotated[int, Strict(), Field(ge=32, le=MAX_SIZE_PX)] | None = None
    """Side of the square that images are resized to, px; None only with `resize: none`.

    Where the file names none: as `load` is told."""
    resize: Resize = "letterbox"
    """`letterbox` keeps the aspect ratio and pads, `stretch` does not, `none` keeps every image."""
    split: SplitSpec | None = None
    """None keeps the splits that the source has."""

    _file: Path = PrivateAttr(default=Path("dataset file"))

    @property
    def file(self) -> Path:
        """The file this was loaded from, for messages."""
        return self._file

    @classmethod
    def load(cls, path: Path, *, size_px: int | None = None) -> "DatasetSpec":
        """Read a dataset file; paths in it are relative to it. Or take a `data.yaml` as it is.

        Args:
            path: The file.
            size_px: Of the images where the file names no size; None for 640.

        Raises:
            InputError: If the file cannot be read or says something that is not allowed.
        """
        found = read_yaml(path, cls)
        if is_data_yaml(found):
            found = {"name": dataset_name(path), "source": {"yolo": path.name}}
        context = {"folder": path.absolute().parent, "size": size_px or DEFAULT_SIZE_PX}
        try:
            spec = cls.model_validate(found, context=context)
        except ValidationError as error:
            raise InputError(explain(error, cls, path)) from error
        spec._file = path
        return spec

    @property
    def group_field(self) -> str | None:
        """Key of a COCO image's entry that says which group it is of; None if none does."""
        groups = self.split and self.split.groups
        return groups.field if isinstance(groups, ImageGroups) else None

    @property
    def is_data_yaml(self) -> bool:
        """Whether it was read from a `data.yaml`, so that there is no dataset file."""
        return isinstance(self.source, YoloSource) and self.source.yolo == self.file.absolute()

    @model_validator(mode="before")
    @classmethod
    def _size_by_default(cls, found: Any, info: ValidationInfo) -> Any:
        size = (info.context or {}).get("size")
        if not isinstance(found, dict) or size is None or found.get("size") is not None:
            return found
        drawn = _kind(found.get("source")) == "SyntheticSource"
        keeps_sizes = found.get("resize") == "none" and not drawn
        return found if keeps_sizes else found | {"size": size}

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise ValueError(
                f"found {name!r}; use up to 64 letters, digits, '.', '_' and '-', "
                "the first a letter or a digit"
            )
        return name

    @field_validator("classes")
    @classmethod
    def _classes(cls, classes: dict[str, tuple[str, ...]] | None) -> Any:
        if classes == {}:
            raise ValueError("found no class; name one, or leave `classes` out to keep all")
        for name, sources in (classes or {}).items():
            if not name.strip():
                raise ValueError("found a class without a name; give it one")
            if not sources:
                raise ValueError(f"{name}: found no source class; list one, or remove {name}")
        return classes

    @model_validator(mode="after")
    def _classes_fit(self) -> "DatasetSpec":
        listed = Counter(chain(self.drop, *(self.classes or {}).values()))
        if twice := [name for name, count in listed.items() if count > 1]:
            raise ValueError(f"classes: source class {twice[0]!r} is listed twice; keep one")
        return self

    @model_validator(mode="after")
    def _size_fits(self) -> "DatasetSpec":
        drawn = isinstance(self.source, SyntheticSource)
        if self.resize == "none" and not drawn and self.size is not None:
            raise ValueError(
                f"size: found {self.size}; `resize: none` keeps every image's size, remove one"
            )
        if self.size is None and (drawn or self.resize != "none"):
            raise ValueError("size: missing; add it in pixels, such as `size: 640`")
        return self

    @model_validator(mode="after")
    def _split_fits(self) -> "DatasetSpec":
        has_splits = isinstance(self.source, YoloSource) or getattr(self.source, "splits", None)
        if self.split is None and not has_splits:
            raise ValueError(
                "split: missing; add it, such as `split: {train: 0.7, val: 0.2, test: 0.1}`"
            )
        if self.group_field is not None and not isinstance(self.source, CocoSource):
            raise ValueError(
                "split.groups.field: only images of a COCO file have fields; give `name`, a "
                "pattern of file names, or write `groups: folder`"
            )
        return self
