"""What `sweep delete` takes away, for people and for programs."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.cli.tables import disk
from sweep.files.disk_use import DiskUse, disk_use
from sweep.submission.deleting import Deletion

_LOOK_S = 5.0
"""How long a look at the sizes of all folders may take."""
_SHOWN = 20
"""So many of a kind are listed for people."""


def deletion_lines(found: Deletion, *, done: bool) -> Iterator[str]:
    """Write what goes, or is gone, and what stays."""
    name = found.name
    options = " --all" if found.everything else ""
    if done:
        yield f"{name} is deleted; gone are"
    elif found.holders:
        at_it = ", ".join(found.holders)
        yield f"{name} ({found.state}) cannot be deleted while workers are at it: {at_it}"
        yield "once it is cancelled and they have ended their epochs, this would go:"
    else:
        yield f"{name} ({found.state}): `sweep delete {name}{options} --yes` takes away"
    rows = ", ".join(f"{table} {count}" for table, count in found.rows.items())
    yield f"  rows: {rows or 'none'}"
    for study, trials in found.studies.items():
        yield f"  Optuna study {study}: {_count(trials, 'trial')}"
    sizes = {} if done else _sizes(found)
    for path, members in _first(found.removes):
        what = "" if members == [path] else f", {_count(len(members), 'trial folder')}"
        yield f"  {path}{what}" + (f", {disk(sizes[path])}" if path in sizes else "")
    if stays := found.stays:
        yield "stays:"
        for path, why in _first(stays):
            yield f"  {path}: {why}"
        if len(stays) > _SHOWN:
            yield f"  … {len(stays) - _SHOWN} more; --json lists all"


def _first(found: Mapping[Path, Any]) -> list[tuple[Path, Any]]:
    return list(found.items())[:_SHOWN]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _sizes(found: Deletion) -> dict[Path, DiskUse]:
    share_s = _LOOK_S / max(len(found.removes), 1)
    return {path: disk_use(all_, limit_s=share_s) for path, all_ in found.removes.items()}


def as_json(found: Deletion, *, done: bool) -> dict[str, Any]:
    """Return the same as plain values; sizes in bytes, null where they were gone already."""
    sizes = {} if done else _sizes(found)
    return {
        "name": found.name,
        "state": "deleted" if done else found.state,
        "deleted": done,
        "all": found.everything,
        "workers": list(found.holders),
        "rows": dict(found.rows),
        "studies": dict(found.studies),
        "files": [
            {
                "path": str(path),
                "folders": len(members),
                "bytes": sizes[path].bytes if path in sizes else None,
                "bytes_complete": sizes[path].complete if path in sizes else None,
            }
            for path, members in found.removes.items()
        ],
        "stays": [{"path": str(path), "why": why} for path, why in found.stays.items()],
    }
