"""Messages as lines of JSON: what a training process writes, its supervisor reads.

No pickles: to read one runs whatever it says, and imports the libraries of what lies in it.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweep.training.contract import Decision, FailureKind, TrainingBroken
from sweep.training.process import plain
from sweep.training.process.door import RAISED, Door
from sweep.training.process.heartbeat import Pulse
from sweep.training.process.messages import (
    Alive,
    Completed,
    EpochDone,
    Failed,
    Message,
    Stopped,
    Unable,
)

LONGEST_LINE = 4_000_000
"""Bytes of a message; a report of an epoch takes a thousand."""
LONGEST_MESSAGE = 500
"""Characters of what a user is told of a failure."""

_KINDS: dict[str, type[Message]] = {
    kind.__name__: kind for kind in (Alive, EpochDone, Completed, Stopped, Failed, Unable)
}


def encode(message: Message) -> bytes:
    """Return a message as a line.

    Raises:
        TrainingBroken: If it is too long.
    """
    content = {"is": type(message).__name__, **dataclasses.asdict(message)}
    line = json.dumps(content, default=_path).encode("ascii") + b"\n"
    if len(line) > LONGEST_LINE:
        raise TrainingBroken(
            f"what the trainer gave takes {len(line)} bytes; allowed are {LONGEST_LINE}"
        )
    return line


def decode(line: bytes, door: Door) -> Message:
    """Return the message of a line, with what is in it checked.

    Raises:
        TrainingBroken: If it is none.
        TrainingFailed: DIVERGED, if a measure is not finite.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _foreign(line) from error
    kind = _KINDS.get(str(found.pop("is", None))) if isinstance(found, dict) else None
    if kind is None or set(found) != {field.name for field in dataclasses.fields(kind)}:
        raise _foreign(line)
    if kind is EpochDone:
        return EpochDone(door.report(found["report"]))
    if kind is Completed:
        return Completed(door.result(found["result"]))
    try:
        return _plain(kind, found)
    except ValueError as error:
        raise _foreign(line) from error


def _plain(kind: type[Message], found: Mapping[str, Any]) -> Message:
    """Return a message without numbers; ValueError where there is none such."""
    if kind is Stopped:
        return Stopped(Decision(found["decision"]))
    if kind is Failed:
        told = FailureKind(found["kind"])
        return Failed(
            told if told in RAISED else FailureKind.CRASHED,
            plain.text(str(found["message"]), LONGEST_MESSAGE),
        )
    if kind is Unable:
        return Unable(plain.text(str(found["message"]), LONGEST_MESSAGE))
    return Alive(Pulse(found["pulse"]), plain.text(str(found["place"]), LONGEST_MESSAGE))


def _foreign(line: bytes) -> TrainingBroken:
    shown = plain.text(line[:80].decode("utf-8", "backslashreplace"), 60)
    return TrainingBroken(f"the training process wrote into its supervisor's pipe: {shown}")


def _path(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no plain value")
