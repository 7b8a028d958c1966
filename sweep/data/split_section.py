"""`split:` of a dataset file: shares of the images, and which of them stay together."""

import math
import re
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    Strict,
    field_validator,
    model_serializer,
    model_validator,
)

RATIO_TOLERANCE = 1e-6
"""How far the sum of the split's ratios may be from 1."""

WholeNumber = Annotated[int, Strict(), Field(ge=0)]
Ratio = Annotated[FiniteFloat, Strict()]


class Section(BaseModel):
    """A mapping of a dataset file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ImageGroups(Section):
    """What tells which images are of one group; one of the two."""

    name: str | None = None
    """Regular expression; images with the same text in its groups (parentheses) are of one."""
    field: Annotated[str, Field(min_length=1)] | None = None
    """Key of an image's entry in the COCO file, such as `location` or `video_id`."""

    @field_validator("name")
    @classmethod
    def _pattern(cls, name: str | None) -> str | None:
        try:
            groups = 1 if name is None else re.compile(name).groups
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"found {name!r}, no regular expression: {error}") from error
        if groups == 0:
            raise ValueError(
                f"found {name!r}; put what images of one group share in parentheses, such as "
                r"'^(cam\d+)_'"
            )
        return name

    @model_validator(mode="after")
    def _one(self) -> "ImageGroups":
        if (self.name is None) == (self.field is None):
            raise ValueError(
                r"give one of `name` and `field`, such as `groups: {name: '^(cam\d+)_'}`"
            )
        return self


class SplitSpec(Section):
    """Shares of the images, and the seed of the split."""

    train: Annotated[Ratio, Field(gt=0)]
    val: Annotated[Ratio, Field(gt=0)]
    test: Annotated[Ratio, Field(ge=0)]
    seed: WholeNumber = 0
    groups: Literal["folder"] | ImageGroups | None = None
    """Images of one group, such as the frames of one camera, are all on one side. `folder`: those
    of one folder. None: only images that repeat others stay together."""

    @model_validator(mode="after")
    def _sum(self) -> "SplitSpec":
        total = self.train + self.val + self.test
        if not math.isclose(total, 1, abs_tol=RATIO_TOLERANCE, rel_tol=0):
            raise ValueError(
                f"train {self.train} + val {self.val} + test {self.test} is {total:g}; "
                "the three must sum to 1"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_nothing(self, dump: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave out what is None: a split without groups has the fingerprint it always had."""
        found: dict[str, object] = dump(self)
        return {key: value for key, value in found.items() if value is not None}
