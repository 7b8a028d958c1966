"""The arguments that several commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer

from sweep import paths
from sweep.cli.logs import LogLevel
from sweep.errors import InputError

LARGEST = 2**31 - 1
"""The largest whole number that every database holds."""
LONGEST_GRACE_S = 86400
MOST_WORKERS = 1024
"""On one machine; each is a process or more."""


def _text(names: str | list[str] | None) -> str | list[str] | None:
    """Refuse names that no database can hold: bytes of a terminal with another encoding.

    Raises:
        InputError: If there is one.
    """
    for name in [names] if isinstance(names, str) else names or []:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"NAME: found {name!r}, which is not UTF-8; `sweep status` lists all"
            ) from error
    return names


def show_help_alone(context: typer.Context) -> None:
    """Show the help of commands where none of them was named."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), nl=False)


def _folder(out: Path | None) -> Path | None:
    """Refuse a folder that cannot be made or written to, before there is anything to write.

    Raises:
        InputError: If it cannot.
    """
    if out is None:
        return None
    try:
        there = next(place for place in (out, *out.absolute().parents) if place.exists())
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror}; name another folder") from error
    if not there.is_dir():
        what = "is a file" if there == out else f"{there} is a file"
        raise InputError(f"--out {out}: {what}; name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"--out {out}: you may not write to {there}; name another folder")
    return out


def _seconds(found: float) -> float:
    """Refuse what no clock counts to: a day at most, and not `nan`.

    Raises:
        InputError: If it is that.
    """
    if not 0 <= found <= LONGEST_GRACE_S:
        raise InputError(
            f"--grace-s: found {found:g}, allowed are 0 to {LONGEST_GRACE_S} seconds; "
            "give less than your scheduler waits from SIGTERM to SIGKILL"
        )
    return found


Storage = Annotated[
    str,
    typer.Option(
        envvar=paths.STORAGE_VARIABLE,
        help="Database of the sweeps: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SweepFile = Annotated[Path, typer.Argument(metavar="FILE", help="The sweep file.")]
SweepName = Annotated[str, typer.Argument(metavar="NAME", help="The sweep's name.", callback=_text)]
SweepNames = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Sweeps. Default: all.", callback=_text),
]
OptionalSweepName = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="A sweep. Default: a row for each.", callback=_text),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device", help="cpu, or GPU numbers such as 0 or 0,1. Default: all GPUs, or cpu."
    ),
]
PerGpu = Annotated[int, typer.Option(max=MOST_WORKERS, help="Trials that share one GPU.")]
WorkerCount = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, max=MOST_WORKERS, help="Workers. Default: one a GPU share or core."
    ),
]
LogLevelOption = Annotated[
    LogLevel, typer.Option("--log-level", help="What workers log: all from this level on.")
]
Grace = Annotated[
    float,
    typer.Option(
        "--grace-s",
        metavar="SECONDS",
        help="How long the epoch at hand may take after SIGTERM; Ctrl-C waits for its end.",
        callback=_seconds,
    ),
]
ReportFolder = Annotated[
    Path | None,
    typer.Option(
        "--out", help="Folder to write to.", show_default="reports/NAME", callback=_folder
    ),
]
PreparedFolder = Annotated[
    Path | None,
    typer.Option(
        "--out", help="Folder to write to.", show_default=str(paths.PREPARED), callback=_folder
    ),
]
