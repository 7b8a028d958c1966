"""The arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from sweep import paths
from sweep.cli.logs import LogLevel

Storage = Annotated[
    str,
    typer.Option(
        envvar=paths.STORAGE_VARIABLE,
        help="Database of the sweeps: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SweepFile = Annotated[Path, typer.Argument(metavar="FILE", help="The sweep file.")]
SweepName = Annotated[str, typer.Argument(metavar="NAME", help="The sweep's name.")]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device", help="cpu, or GPU numbers such as 0 or 0,1. Default: all GPUs, or cpu."
    ),
]
PerGpu = Annotated[int, typer.Option(help="Trials that share one GPU.")]
WorkerCount = Annotated[
    int | None, typer.Option("--workers", min=1, help="Workers. Default: one a GPU share or core.")
]
LogLevelOption = Annotated[
    LogLevel, typer.Option("--log-level", help="What workers log: all from this level on.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder to write to.")]
