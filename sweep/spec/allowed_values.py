"""Which values the training settings of a detector take, beside what `default.yaml` says."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sweep.training.contract import Scalar, Value

OPTIMIZERS = ("SGD", "MuSGD", "Adam", "Adamax", "AdamW", "NAdam", "RAdam", "RMSprop")
"""Optimizers Ultralytics can build, as it spells them."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """Legal numbers of one setting."""

    low: float
    high: float = float("inf")
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below

    def __str__(self) -> str:
        if self.high == float("inf"):
            return f"{'greater than' if self.open_low else 'at least'} {self.low:g}"
        left, right = "(" if self.open_low else "[", ")" if self.open_high else "]"
        return f"in {left}{self.low:g}, {self.high:g}{right}"


RANGES: Mapping[str, Range] = MappingProxyType(
    {
        **dict.fromkeys(("lr0", "fraction"), Range(low=0, high=1, open_low=True)),
        **dict.fromkeys(("momentum", "warmup_momentum"), Range(low=0, high=1, open_high=True)),
        **dict.fromkeys(("batch", "nbs", "max_det"), Range(low=1)),
        **dict.fromkeys(("patience", "workers", "freeze", "box", "cls", "dfl"), Range(low=0)),
        **dict.fromkeys(("close_mosaic", "warmup_epochs", "degrees", "shear"), Range(low=0)),
        "imgsz": Range(low=32),
        "scale": Range(low=0, high=1),
        "classes": Range(low=0),
    }
)
"""Narrower than Ultralytics; to these come its own CFG_FRACTION_KEYS, in [0, 1]."""
WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"optimizer": OPTIMIZERS, "cache": ("ram",)}
)
TYPES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "batch": frozenset({"int"}),  # -1 and fractions measure GPU memory: not the same everywhere
        "imgsz": frozenset({"int"}),
        "fraction": frozenset({"float", "list"}),
    }
)
"""Narrower than `default.yaml` says."""


@dataclass(frozen=True, kw_only=True)
class ListRule:
    """Legal lists of one setting."""

    types: frozenset[str]
    numbers: Range
    count: int | None = None
    """How many there must be; any number, but one at least, where None."""
    distinct: bool = True
    """Whether no item may stand there twice."""
    ascending: bool = False
    what: str
    """For messages."""

    def __contains__(self, found: list[Scalar]) -> bool:
        return (
            len(found) == (self.count or len(found) or 1)
            and all(self._takes(item) for item in found)
            and (not self.distinct or len(set(found)) == len(found))
            and (not self.ascending or found == sorted(found))  # type: ignore[type-var]
        )

    def _takes(self, item: Scalar) -> bool:
        if not has_type(item, self.types):
            return False
        return not isinstance(item, int | float) or item in self.numbers


LISTS: Mapping[str, ListRule] = MappingProxyType(
    {
        "freeze": ListRule(
            types=frozenset({"int", "str"}),
            numbers=Range(low=0),
            what="the numbers of layers from 0, or names such as '22.cv2', each once",
        ),
        "classes": ListRule(
            types=frozenset({"int"}),
            numbers=Range(low=0),
            what="the numbers of classes from 0, each once",
        ),
        "fraction": ListRule(
            types=frozenset({"float"}),
            numbers=Range(low=0, high=1, open_low=True),
            count=2,
            distinct=False,
            what="the parts of the train and the val split, such as [0.5, 1.0]",
        ),
        "scale": ListRule(
            types=frozenset({"float"}),
            numbers=Range(low=0, open_low=True),
            count=2,
            ascending=True,
            what="the smallest and the largest factor, such as [0.5, 1.5]",
        ),
    }
)


def has_type(value: Value, types: frozenset[str]) -> bool:
    """Whether a value is of one of the types, by Python's names; a whole number is a float, too."""
    if isinstance(value, bool):  # which Python takes for a number
        return "bool" in types
    if isinstance(value, int):
        return not types.isdisjoint({"int", "float"})
    return type(value).__name__ in types
