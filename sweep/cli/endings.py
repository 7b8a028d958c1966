"""How a command that went wrong ends: one line and an exit code."""

import errno
import re
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typer.exceptions import TyperException

from sweep.cli import INTERRUPTED
from sweep.errors import InputError, SweepError

FAILED, WRONG_INPUT = 1, 2

_FULL = (errno.ENOSPC, errno.EDQUOT)
_IN_THE_WAY = {
    errno.EEXIST: "something else is there; move it away or name another",
    errno.ENOTDIR: "a part of this path is a file; move it away or name another",
    errno.EISDIR: "is a folder; name a file",
    errno.ENOENT: "is not there any more",
    errno.EACCES: "you have no right to; change that or name another",
    errno.EPERM: "you have no right to; change that or name another",
    errno.EROFS: "nothing can be written there; name another",
    errno.ENAMETOOLONG: "take a shorter name",
    errno.ELOOP: "links lead in a circle; name another",
}
"""What the user can do about a path that does not serve."""
_ALLOWED = {
    "int_parsing": "allowed is a whole number",
    "greater_than_equal": "allowed is {ge} or more",
    "less_than_equal": "allowed is {le} or less",
}
"""What a number may be, by the kinds of pydantic's errors, which Typer reads arguments with."""

_SECRETS = [
    # All from a colon up to the last @; but not a user alone, or what stands for a password.
    (
        re.compile(r":(?!//[^:@\s'\"]*@(?![^\s'\"]*@)|(//[^:@\s]*:)?(\*\*\*|PASSWORD)@)[^\s'\"]*@"),
        ":***@",
    ),
    # No @, so that the password is where a port would be.
    (re.compile(r"(://[^\s/:@'\"]*:)(?!\*|\d+\b|PASSWORD@)[^\s@'\")]+"), r"\1***"),
    (re.compile(r"(password=)[^\s&'\")]+", re.IGNORECASE), r"\1***"),
]
"""What may be the password of a URL, wherever a user put it, and what is shown in its place."""


class Interrupted(Exception):
    """Ctrl-C where it means something of its own: show the line; exit code 130."""


def line_and_code(error: BaseException) -> tuple[str, int]:
    """Return what to print of an error, without line breaks, and the exit code."""
    message, code = _message_and_code(error)
    line = _without_secrets(re.sub(r"\s*[\r\n]+\s*", " ", message.strip()))
    return "".join(map(_printable, line)), code


def _without_secrets(text: str) -> str:
    for secret, shown in _SECRETS:
        text = secret.sub(shown, text)
    return text


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


def _message_and_code(error: BaseException) -> tuple[str, int]:
    match error:
        case KeyboardInterrupt():
            return "interrupted; run again to continue", INTERRUPTED
        case Interrupted():
            return str(error), INTERRUPTED
        case SweepError():
            return str(error), WRONG_INPUT if isinstance(error, InputError) else FAILED
        case TyperException():
            return _usage(error), WRONG_INPUT
        case OSError(errno=number) if number in _FULL or number in _IN_THE_WAY:
            return _of_a_path(error)
        case _:
            return _unexpected(error), FAILED


def _usage(error: TyperException) -> str:
    """Write what was wrong with the arguments, and where the right ones are listed."""
    message, context = error.format_message(), getattr(error, "ctx", None)
    if error.__cause__ is not None:
        from pydantic import ValidationError  # as late as Typer does

        if isinstance(error.__cause__, ValidationError):
            message = f"{message.partition(': ')[0]}: {_reason(error.__cause__.errors()[0])}"
    message = message.rstrip(".")
    return message if context is None else f"{message}; see `{context.command_path} --help`"


def _reason(found: Mapping[str, Any]) -> str:
    """Write what was found and what is allowed, of one of pydantic's errors."""
    if found["type"] not in _ALLOWED:
        return str(found["msg"]).removeprefix("Value error, ")
    return f"found {found['input']}, {_ALLOWED[found['type']].format(**found.get('ctx', {}))}"


def _of_a_path(error: OSError) -> tuple[str, int]:
    place = "" if error.filename is None else f"{error.filename}: "
    if error.errno in _FULL:
        return f"{place}{error.strerror}; make room and run again", FAILED
    return f"{place}{error.strerror}; {_IN_THE_WAY[error.errno or 0]}", WRONG_INPUT


def _unexpected(error: BaseException) -> str:
    """Keep the traceback of what nobody thought of, and say where."""
    what = f"{type(error).__name__}: {error}"
    text = _without_secrets("".join(traceback.format_exception(error)))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="sweep-", suffix=".log", encoding="utf-8", errors="replace", delete=False
        ) as log:
            log.write(text)
    except OSError:  # no room for it either
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{what} ({Path(where.filename).name}:{where.lineno}); this should not happen"
    return f"{what}; this should not happen, the traceback is in {log.name}"
