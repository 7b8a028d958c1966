"""All commands in one, and how a command line is run."""

import contextlib
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sweep import __version__
from sweep.api.database import errors_of_sweep
from sweep.cli import INTERRUPTED, best, control, inspect, prepare, run
from sweep.cli.endings import FAILED, line_and_code
from sweep.cli.options import show_help_alone
from sweep.errors import InputError, nearest


class _Commands(TyperGroup):
    """Says which command is the nearest to one that is not there."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        unknown = self.get_command(ctx, name) is None and not name.startswith("-")
        if unknown and not ctx.resilient_parsing:
            raise InputError(f"No such command {name!r}; {nearest(name, self.commands)}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
for commands in (run, prepare, inspect, best, control):
    app.add_typer(commands.app)
app.add_typer(control.db, name="db", cls=_Commands)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"detsweep {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _sweep(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Hyperparameter sweeps for object detectors: no trial lost, none done twice."""
    show_help_alone(context)


def execute(arguments: Sequence[str]) -> int:
    """Run one command line, print in one line what was wrong, and return the exit code."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error does
    code: Any
    try:
        with errors_of_sweep():
            code = app(list(arguments), prog_name="sweep", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except SystemExit as end:  # so Typer and Rich leave where nobody reads on
        code = end.code
    except BrokenPipeError:
        code = FAILED
    except Exception as error:
        code = _told(error)
    else:
        if code == INTERRUPTED:  # so Typer returns from Ctrl-C
            code = _told(KeyboardInterrupt())
    _write_what_is_left()
    return code if isinstance(code, int) else 0


def _told(error: BaseException) -> int:
    line, code = line_and_code(error)
    with contextlib.suppress(OSError):
        print(f"sweep: {line}", file=sys.stderr)
    return code


def _write_what_is_left() -> None:
    """Write what is left to standard output; where that fails, Python must not try it again."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("w") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())
