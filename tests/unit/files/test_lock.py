"""The lock between processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.files import lock as lock_module
from sweep.files.lock import Held, lock

HOLD = """
import sys, time
from pathlib import Path
from sweep.files.lock import lock

with lock(Path(sys.argv[1]), within_s=60):
    print("held", flush=True)
    time.sleep(600)
"""
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who holds a lock")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / ".lock"


@pytest.fixture
def holder(path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_lock_ends_with_the_process_that_holds_it(
    path: Path, holder: "subprocess.Popen[bytes]"
) -> None:
    with pytest.raises(Held), lock(path, within_s=0):
        pass
    holder.kill()
    holder.wait()
    with lock(path, within_s=60):
        assert path.read_bytes() == b""
    assert path.exists()


@LINUX
def test_who_holds_it_is_told_to_those_that_wait(
    path: Path,
    holder: "subprocess.Popen[bytes]",
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(lock_module, "_TELL_AFTER_S", 0.02)
    wanted = f"{path}: held by process {holder.pid} for 0.1 s; see what it does, or end it"
    with pytest.raises(Held) as refused, lock(path, within_s=0.1):
        pass
    assert str(refused.value) == wanted
    assert caplog.messages == [f"{path}: waiting for process {holder.pid}, which holds it"]


@LINUX
def test_one_that_is_stopped_is_not_waited_for(
    path: Path, holder: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "_TELL_AFTER_S", 0.02)
    monkeypatch.setattr(lock_module, "_STOPPED_S", 0.05)
    holder.send_signal(signal.SIGSTOP)
    os.waitpid(holder.pid, os.WUNTRACED)
    mend = f"let it go on \\(kill -CONT {holder.pid}\\) or end it"
    with pytest.raises(Held, match=f"which is stopped; {mend}"), lock(path, within_s=3600):
        pass


def test_a_holder_elsewhere_has_no_name(
    path: Path, holder: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "_LOCKS", path.with_name("missing"))
    with pytest.raises(Held, match="held by another process for 0 s"), lock(path, within_s=0):
        pass
