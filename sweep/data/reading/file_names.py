"""Files found by names that were written elsewhere: on another system, or below another root."""

import difflib
import errno
import os
import posixpath
import re
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from unicodedata import normalize
from urllib.parse import unquote

from sweep.errors import SweepError

_ABSOLUTE = re.compile(r"/|[A-Za-z]:/|[A-Za-z][A-Za-z0-9+.-]*://")
_OF_THE_MACHINE = (
    *(errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT),
)
"""These say nothing about what is there; what cannot be seen now must not count as missing."""
_NEIGHBOURS = 200
"""Names, in the order of the alphabet, among which the one that is most like another is sought."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundFile:
    """A file whose name is not quite the one that was written."""

    written: str
    file: str


class AmbiguousNameError(Exception):
    """Several files may be meant: write the one it is. Name the place in front of the message."""


class FileNames:
    """The names below a folder, found by what others wrote for them.

    Separators of Windows, Unicode forms, percent-encoding and letter case may differ; a name may
    begin with folders that this one lies in, and one that is absolute elsewhere counts from the
    part that is here. A folder is listed when something in it is first looked for, so that links
    to folders are followed as far as a name goes.

    Args:
        folder: Whose names they are, for names that repeat a part of its path.
        listing: Returns what lies in a folder below, itself "".
        taken: Names below that are known to be somebody else's.
    """

    def __init__(
        self,
        folder: Path,
        listing: Callable[[str], Iterable[str]],
        taken: Container[str] = frozenset(),
    ) -> None:
        self._root = os.path.abspath(folder)  # noqa: PTH100, as text: links are not looked at
        self._listing = listing
        self._taken = taken
        self._known: dict[str, dict[str, list[str]]] = {}

    @classmethod
    def on_disk(cls, folder: Path, taken: Container[str] = frozenset()) -> Self:
        """Return what lies below a folder, which may be missing."""

        def listing(below: str) -> Iterable[str]:
            try:
                return os.listdir(folder / below)  # noqa: PTH208, a million names, not paths
            except OSError as error:
                if error.errno in _OF_THE_MACHINE:
                    raise SweepError(
                        f"{folder / below}: cannot be listed now ({error.strerror}); try again"
                    ) from error
                return ()

        return cls(folder, listing, taken)

    @classmethod
    def among(cls, folder: Path, names: Iterable[str]) -> Self:
        """Return these names below a folder, whatever is on the disk."""
        below: dict[str, set[str]] = defaultdict(set)
        for name in names:
            at = ""
            for part in name.split("/"):
                below[at].add(part)
                at = posixpath.join(at, part)
        return cls(folder, lambda at: below.get(at, ()))

    def find(self, written: str) -> str | None:
        """Return the one name below that can be meant, None if there is none.

        Raises:
            AmbiguousNameError: If several can be meant.
        """
        for text in dict.fromkeys((_slashes(written), _slashes(unquote(written)))):
            for parts in self._readings(text):
                found = sorted(self._matches("", parts))
                closest = [name for rank, name in found if rank == found[0][0]]
                if len(closest) > 1:
                    raise AmbiguousNameError(f"may be {' or '.join(closest[:3])}; write one's name")
                if closest:
                    return closest[0]
        return None

    def _readings(self, text: str) -> Iterator[list[str]]:
        """Yield what a name may mean below the folder, the most likely first."""
        if _ABSOLUTE.match(text):
            parts = _parts(text)
            yield from (parts[start:] for start in range(len(parts)))
            return
        here = inside(self._root, text)
        if here is not None:
            yield here.split("/")
        parts = _parts(text)
        root = [_loosely(part) for part in _parts(_slashes(self._root))]
        for count in range(1, len(parts)):
            if [_loosely(part) for part in parts[:count]] == root[-count:]:
                yield parts[count:]

    def _matches(self, folder: str, parts: list[str]) -> Iterator[tuple[int, str]]:
        """Yield names that differ from `parts` in their spelling, and by how much."""
        wanted, *deeper = parts
        for name in self._in(folder).get(_loosely(wanted), ()):
            rank = next(
                rank for rank, spell in enumerate(_SPELLINGS) if spell(name) == spell(wanted)
            )
            path = posixpath.join(folder, name)
            if deeper:
                for worse, found in self._matches(path, deeper):
                    yield max(rank, worse), found
            elif path not in self._taken:
                yield rank, path

    def _in(self, folder: str) -> dict[str, list[str]]:
        if folder not in self._known:
            names: dict[str, list[str]] = defaultdict(list)
            for name in self._listing(folder):
                names[_loosely(name)].append(name)
            self._known[folder] = names
        return self._known[folder]


def inside(root: str, name: str) -> str | None:
    """Return a name below a folder, as text and without `.` and `..`; None if it leads out.

    Args:
        root: The folder, absolute.
        name: Relative to it, or absolute.
    """
    if _ABSOLUTE.match(name) and not name.startswith("/"):
        return None
    path = os.path.normpath(os.path.join(root, name))  # noqa: PTH118
    start = f"{root.rstrip('/')}/"
    return path.removeprefix(start) if path.startswith(start) else None


def leads_out(folder: Path, name: str) -> bool:
    """Return whether a relative name leaves a folder, as text: what no mere spelling explains."""
    plain = _slashes(name)
    return not _ABSOLUTE.match(plain) and inside(os.path.abspath(folder), plain) is None  # noqa: PTH100


def nearest_name(written: str, names: Iterable[str]) -> str | None:
    """Return the name that is most like one that was not found, for a message."""
    of_file: dict[str, str] = {}
    for name in sorted(names):
        of_file.setdefault(_loosely(posixpath.basename(name)), name)
    wanted = _loosely(posixpath.basename(_slashes(written)))
    if wanted in of_file:
        return of_file[wanted]
    files = sorted(of_file)
    place = bisect(files, wanted)
    beside = files[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS]
    stem = posixpath.splitext(wanted)[0]
    same = [name for name in beside if posixpath.splitext(name)[0] == stem]
    close = same or difflib.get_close_matches(wanted, beside, n=1, cutoff=0.5)
    return of_file[close[0]] if close else None


def nearest_file(written: str, folder: Path) -> str:
    """Return ` (the nearest file there: …)` for a name that is not in a folder, "" if none is."""
    below = (
        posixpath.join(os.path.relpath(parent, folder), name).removeprefix("./")
        for parent, _, files in os.walk(folder)
        for name in files
    )
    name = nearest_name(written, below)
    return "" if name is None else f" (the nearest file there: {name})"


def _slashes(name: str) -> str:
    return name.replace("\\", "/")


def _parts(text: str) -> list[str]:
    parts = posixpath.normpath(text).split("/")
    return [part for part in parts if part not in {"", ".", ".."}]


def _composed(name: str) -> str:
    return normalize("NFC", name)


def _decoded(name: str) -> str:
    # Composed before as well: decomposed, the letter of `%0é` reads as the code %0e.
    return _composed(unquote(_composed(name)))


def _plain_suffix(name: str) -> str:
    stem, suffix = posixpath.splitext(_decoded(name))
    return stem + suffix.casefold()


def _loosely(name: str) -> str:
    return _composed(_decoded(name).casefold())


_SPELLINGS = (_composed, _decoded, _plain_suffix, _loosely)
"""What two spellings of a name may have in common, the strictest first; each admits more."""
