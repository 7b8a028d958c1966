"""The lock between processes."""

import subprocess
import sys
from pathlib import Path

import pytest
from filelock import Timeout

from sweep.files.lock import lock

HOLD = """
import sys, time
from pathlib import Path
from sweep.files.lock import lock

with lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "folder" / ".lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(Timeout):
        lock(path).acquire(blocking=False)
    holder.kill()
    holder.communicate()
    with lock(path):
        assert path.read_bytes() == b""
    assert path.exists()
