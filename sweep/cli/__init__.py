"""The command `sweep`: reads arguments, calls the rooms, turns errors into one line.

Every import that costs time is made by the command that needs it.
"""

import sys

import typer
from typer.exceptions import TyperException

from sweep.api.database import errors_of_sweep
from sweep.cli import best, control, inspect, prepare, run
from sweep.errors import InputError, SweepError

FAILED, WRONG_INPUT = 1, 2

app = typer.Typer(
    help="Hyperparameter sweeps for object detectors: no trial lost, none done twice.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for commands in (run, prepare, inspect, best, control):
    app.add_typer(commands.app)


def main() -> None:
    """Run the command line; exit code 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    try:
        with errors_of_sweep():
            code = app(standalone_mode=False)
    except TyperException as error:
        _end(error.format_message(), WRONG_INPUT)
    except InputError as error:
        _end(str(error), WRONG_INPUT)
    except SweepError as error:
        _end(str(error), FAILED)
    else:
        if code == run.INTERRUPTED:
            _end("interrupted; run again to continue", run.INTERRUPTED)
        sys.exit(code)


def _end(message: str, code: int) -> None:
    print(f"sweep: {message}", file=sys.stderr)
    sys.exit(code)
