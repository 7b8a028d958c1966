"""How trainings behave: well, badly, or as nobody expects."""

from enum import StrEnum

from sweep.training.contract import FailureKind


class Temper(StrEnum):
    """How a training behaves."""

    GOOD = "good"
    CRASH = "crash"
    DIES = "dies"
    OOM = "oom"
    DIVERGED = "diverged"
    HANGS = "hangs"
    NAN_EPOCH = "nan epoch"
    # What a trainer of a user's own may send, and nobody expects.
    NAN_RESULT = "nan result"
    NUMPY = "numpy numbers"
    SURROGATE = "surrogate in its message"
    NUL = "NUL in its message"
    AGAIN = "an epoch again"
    SKIPS = "an epoch too few"
    SHORT = "a result after too few epochs"


STRANGE = frozenset(list(Temper)[list(Temper).index(Temper.NAN_RESULT) :])
"""The tempers that break the contract of trainers."""

FAILURES = {
    Temper.CRASH: (FailureKind.CRASHED, "crash, as drawn"),
    Temper.OOM: (FailureKind.OOM, "out of memory, as drawn"),
    Temper.DIVERGED: (FailureKind.DIVERGED, "diverged, as drawn"),
    Temper.SURROGATE: (FailureKind.CRASHED, "no file \udcff.jpg, as drawn"),
    Temper.NUL: (FailureKind.CRASHED, "no file \0.jpg, as drawn"),
}
"""What trainings of some tempers end with."""
