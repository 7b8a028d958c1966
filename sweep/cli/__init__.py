"""The command `sweep`: reads arguments, calls the rooms, turns errors into one line.

Every import that costs time is made by the command that needs it.
"""

import signal
import sys

from sweep.errors import unsupported

INTERRUPTED = 130


def main() -> None:
    """Run the command line; exit code 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    if (refused := unsupported(sys.platform)) is not None:
        print(f"sweep: {refused}", file=sys.stderr)
        sys.exit(2)
    try:
        from sweep.cli.app import execute  # here, so that Ctrl-C is heard while it is loaded

        code = execute(sys.argv[1:])
    except KeyboardInterrupt:
        print("sweep: interrupted", file=sys.stderr)
        code = INTERRUPTED
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Python's own end would show where it was
    sys.exit(code)
