"""Linux is what it is made for; what only Linux has is asked for with something in its place."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from storage import process_identity
from storage.filesystems import network_file_system
from storage.process_identity import ProcessIdentity
from sweep.errors import SweepError, unsupported
from sweep.files.atomic_write import write_file
from sweep.training import devices
from tests.command import Command
from tests.elsewhere import hide

ROOT = Path(__file__).parents[2]
LINUX_ONLY = re.compile(
    r"/proc/|/sys/|/dev/shm|prctl|sched_[gs]etaffinity|posix_fallocate|posix_fadvise|preadv"
    r"|memfd_create|copy_file_range|pidfd|splice|\binotify\b|forkserver\"|set_start_method"
)
KNOWN = {
    "storage/process_identity.py",
    "sweep/files/lock.py",
    "sweep/training/devices.py",
    "sweep/training/image_cache/cache.py",
    "sweep/training/image_cache/epoch_file.py",
    "sweep/training/process/child_main.py",
    "sweep/training/process/environment.py",
    "sweep/training/process/forkserver.py",
    "sweep/training/process/parent.py",
}
"""Each of these has something else where Linux's is not there."""


def test_what_only_linux_has_is_named_where_there_is_something_in_its_place() -> None:
    found = {
        str(file.relative_to(ROOT))
        for room in ("sweep", "storage")
        for file in (ROOT / room).rglob("*.py")
        if LINUX_ONLY.search(file.read_text())
    }
    assert found == KNOWN


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for cached in (process_identity._boot_id, process_identity._pid_namespace):
        cached.cache_clear()
        monkeypatch.setattr(process_identity, cached.__name__, cached.__wrapped__)
    hide(monkeypatch)
    return monkeypatch


@pytest.mark.usefixtures("elsewhere")
def test_a_process_is_known_and_seen_to_die_without_proc() -> None:
    me = ProcessIdentity.current()
    assert me.machine == ProcessIdentity.current().machine
    assert not me.provably_dead()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    other = ProcessIdentity(**{**vars(me), "pid": ended.pid})
    assert other.provably_dead(), "another process has its number"
    ended.wait()
    assert ProcessIdentity(**{**vars(me), "pid": ended.pid}).provably_dead()
    assert not ProcessIdentity(**{**vars(me), "boot_id": "another"}).provably_dead()


@pytest.mark.usefixtures("elsewhere")
def test_cores_and_file_systems_are_known() -> None:
    assert devices.available_cores() == os.cpu_count()
    assert network_file_system(Path.home()) is None


def test_a_file_is_brought_to_the_disk_as_macos_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sweep.files import atomic_write

    asked: list[int] = []
    monkeypatch.setattr(atomic_write.fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(atomic_write.fcntl, "fcntl", lambda _, what: asked.append(what))
    monkeypatch.setattr(atomic_write.os, "fsync", lambda _: asked.append(0))
    write_file(tmp_path / "file", b"x")
    assert asked == [51]


@pytest.mark.usefixtures("elsewhere")
def test_images_are_shared_without_what_only_linux_has(tmp_path: Path) -> None:
    import torch

    from sweep.training.contract import ImageCachePlace
    from sweep.training.image_cache.cache import ImageCache

    place = ImageCachePlace(folder=tmp_path, disk_cap_gb=1, trainings=2)

    def make(index: int) -> dict[str, torch.Tensor]:
        return {
            "img": torch.full((3, 8, 8), index, dtype=torch.uint8),
            "cls": torch.full((1, 1), float(index)),
            "bboxes": torch.zeros((1, 4)),
            "batch_idx": torch.zeros(1),
        }

    seen = []
    for _ in range(2):
        cache = ImageCache(place, "key", images=3, size_px=8, boxes=2)
        found = cache.batch("0", [2, 0], make)
        assert found is not None
        seen.append((found[0]["img"][:, 0, 0, 0].tolist(), found[1]))
        cache._leave_epoch()
    assert seen == [([2, 0], 0), ([2, 0], 2)]


@pytest.mark.slow
def test_a_sweep_runs_without_what_only_linux_has(sweep: Command) -> None:
    """Its trainings are fresh processes, not forked ones."""
    (sweep.folder / "asking.py").write_text(
        "import multiprocessing, os, sys\n"
        "from sweep.testing import instant_trainer\n\n\n"
        "def train(job, on_epoch):\n"
        "    print('setup', 'sweep.training.process.server_setup' in sys.modules,\n"
        "          os.environ['OMP_NUM_THREADS'], 'forkserver' in str(sys.argv))\n"
        "    return instant_trainer(job, on_epoch)\n"
    )
    file = sweep.write(
        "one.yaml",
        {
            "name": "one",
            "trainer": "asking:train",
            "search": {"epochs": 2, "space": {"lr0": [0.1, 0.01]}},
        },
    )
    assert sweep("submit", file).code == 0
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.elsewhere"),
            *("worker", "one", "--drain", "--device", "cpu"),
        ],
        check=False,
        cwd=sweep.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(sweep("status", "one", "--json").out)
    assert found["stages"][0]["counts"]["complete"] == 2
    logs = [log.read_text() for log in sweep.folder.glob("runs/one/*/*/attempt-1/train.log")]
    assert len(logs) == 2
    assert all("setup True 1 False" in log for log in logs)


WINDOWS = """
import sys
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
sys.platform = "win32"
"""


def run_on_windows(script: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", WINDOWS + script],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_windows_is_refused_in_one_line_before_anything_is_loaded() -> None:
    done = run_on_windows("from sweep.cli import main; main()")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"sweep: {unsupported('win32')}\n"
    assert "WSL 2" in done.stderr
    from_python = run_on_windows(
        "import sweep\ntry:\n    sweep.run\nexcept sweep.SweepError as error:\n    print(error)"
    )
    assert (from_python.returncode, from_python.stdout) == (0, f"{unsupported('win32')}\n")


def test_linux_and_macos_are_not_refused() -> None:
    assert [unsupported(name) for name in ("linux", "darwin", "freebsd14")] == [None] * 3
    assert issubclass(SweepError, Exception)
