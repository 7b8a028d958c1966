"""A process whose parent ended before it could ask to end with it."""

import os
import subprocess
import sys

import pytest

from sweep.training.process.forkserver import SUPERVISOR

WORKER = """
from sweep.launch.launched import obey
from sweep.worker.shutdown import Shutdown
obey(Shutdown(), parent=1)
print("lives")
"""
SERVER = """
import sweep.training.process.server_setup
print("lives")
"""
TRAINING = """
import sweep.training.process.child_main as child_main
child_main._heed_signals(parent=1)
print("lives")
"""


@pytest.mark.skipif(os.getpid() == 1, reason="what is started here has that parent")
@pytest.mark.parametrize("code", [WORKER, SERVER, TRAINING], ids=["worker", "server", "training"])
def test_an_orphan_ends_at_once(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, SUPERVISOR: "1"},
        input="",
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.stdout == ""
    said = "ending with the process that started this worker\n" if code == WORKER else ""
    assert done.stderr == said
