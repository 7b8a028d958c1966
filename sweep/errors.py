"""What can go wrong in `sweep`, and what the caller should do about it."""

import difflib
from collections.abc import Iterable


class SweepError(Exception):
    """Root of all errors of this package: the work failed. Show the message; exit code 1."""


class InputError(SweepError):
    """What the user handed in is wrong. Show the one line as it is; exit code 2.

    The message names the file, the field, what was found, what is allowed and the mend.
    """


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return the legal words for a message: " did you mean 'x'? allowed: x, y, z"."""
    words = sorted(allowed)
    match = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    hint = f"did you mean '{match[0]}'? " if match else ""
    return f"{hint}allowed: {', '.join(words)}"


def unsupported(platform: str) -> str | None:
    """Return the line for a system that this does not run on; None for others.

    Args:
        platform: As `sys.platform` names it.
    """
    if platform in ("win32", "cygwin"):
        return (
            "Windows is not supported; run it on Linux or macOS, or in WSL 2 "
            "(https://learn.microsoft.com/windows/wsl/install)"
        )
    return None
