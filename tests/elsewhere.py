"""Another system than Linux, as far as this program can tell: what only Linux has is hidden.

Run as a program it hides it in its own process and runs the command `sweep` there:
`python -m tests.elsewhere worker NAME`.
"""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from sweep.training.process import forkserver

ONLY_LINUX = ("sched_getaffinity", "sched_setaffinity", "posix_fallocate", "preadv", "prctl")
FOLDERS = ("/proc/", "/sys/", "/dev/shm")


def hide(patch: pytest.MonkeyPatch) -> None:
    """Hide functions of the kernel and its folders; trainings are not forked.

    `sys.platform` stays, for the standard library would load macOS' own parts.
    """
    for name in ONLY_LINUX:
        patch.delattr(os, name, raising=False)

    def hiding(read: Any) -> Any:
        def found(path: Any, *arguments: Any, **options: Any) -> Any:
            if str(path).startswith(FOLDERS):
                raise FileNotFoundError(2, "No such file or directory", str(path))
            return read(path, *arguments, **options)

        return found

    for name in ("read_text", "read_bytes", "open", "stat"):
        patch.setattr(Path, name, hiding(getattr(Path, name)))
    patch.setattr(os, "readlink", hiding(os.readlink))
    patch.setattr(forkserver, "forks", lambda: False)


if __name__ == "__main__":
    from sweep.cli.app import execute

    with pytest.MonkeyPatch.context() as patch:
        hide(patch)
        code = execute(sys.argv[1:])
    sys.exit(code)
