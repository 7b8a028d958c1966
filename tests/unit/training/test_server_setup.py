"""What every training process inherits from the server it is forked from."""

import json
import os
import subprocess
import sys

from sweep.training.process.forkserver import SUPERVISOR


def test_numerical_libraries_take_no_fewer_threads_on_a_busy_machine() -> None:
    told = {"OMP_DYNAMIC": "true", "OMP_THREAD_LIMIT": "1", "OMP_NUM_THREADS": "7"}
    script = (
        "import json, os, sweep.training.process.server_setup; print(json.dumps(dict(os.environ)))"
    )
    found = json.loads(
        subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            env={**os.environ, **told, SUPERVISOR: str(os.getpid())},
            text=True,
            timeout=60,
        ).stdout
    )

    assert found["OMP_DYNAMIC"] == "false"
    assert found["OMP_NUM_THREADS"] == "1", "a process forks with one thread"
    assert "OMP_THREAD_LIMIT" not in found
