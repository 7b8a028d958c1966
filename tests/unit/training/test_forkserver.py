"""The server that trainings are forked from: what it holds, and what its children find."""

import json
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

LOOKING = """
import gc, json, os, resource, sys
loaded = sorted({"torch", "ultralytics", "torchvision", "torch._inductor"} & set(sys.modules))

def pages_cleared(torch, tensors):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(tensors):
        torch.ones(1 << 24)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def train(job, on_epoch):
    import torch
    from ultralytics.utils import ONLINE, SETTINGS, SETTINGS_FILE
    raise RuntimeError(json.dumps({
        "loaded": loaded,
        "cuda_spoilt": torch.cuda._is_in_bad_fork() or torch.cuda.is_initialized(),
        "threads": torch.get_num_threads(),
        "variables": {name: value for name, value in os.environ.items()
                      if name.startswith("YOLO_") or name.endswith("_NUM_THREADS")},
        "settings": str(SETTINGS_FILE),
        "online": ONLINE,
        "collects": gc.isenabled(),
        "pages": (pages_cleared(torch, 1), pages_cleared(torch, 8))[1],
    }))
"""
SUPERVISOR = """
import json, os, sys
from pathlib import Path
import psutil
from sweep.training.process import forkserver
from sweep.training.process.child import ChildProcess
from sweep.training.contract import TrialJob
from sweep.training.process.messages import Alive

before = dict(os.environ)
forkserver.warm_up("ultralytics")
job = TrialJob(
    sweep="s", slot=1, attempt=1, trainer="looking_trainer:train", params={}, settings={},
    epochs=1, dataset=None, run_folder=Path("run"), model="none",
)
process = ChildProcess.start(job)
(server,) = (found for found in psutil.Process().children() if "forkserver" in found.cmdline()[-1])
while isinstance(found := process.receive(60), Alive):
    pass
print(json.dumps({
    "server_threads": server.num_threads(),
    "child": json.loads(found.message.removeprefix("RuntimeError: ")),
    "environment_untouched": dict(os.environ) == before,
    "torch_here": "torch" in sys.modules,
}))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("server")
    (folder / "looking_trainer.py").write_text(LOOKING)
    (folder / "supervisor.py").write_text(SUPERVISOR)
    done = subprocess.run(
        [sys.executable, "supervisor.py"],
        cwd=folder,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_the_server_holds_one_thread(found: dict) -> None:
    assert found["server_threads"] == 1


def test_a_child_finds_torch_and_ultralytics_loaded(found: dict) -> None:
    assert found["child"]["loaded"] == ["torch", "torch._inductor", "torchvision", "ultralytics"]


def test_cuda_can_still_be_used_in_a_child(found: dict) -> None:
    assert found["child"]["cuda_spoilt"] is False


def test_a_child_collects_its_garbage(found: dict) -> None:
    assert found["child"]["collects"] is True


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_a_child_keeps_the_memory_of_its_large_tensors(found: dict) -> None:
    assert found["child"]["pages"] < 1000  # each time anew it would be 16,384 a tensor


def test_a_child_starts_with_one_thread_and_offline(found: dict) -> None:
    assert found["child"]["threads"] == 1
    assert found["child"]["online"] is False
    variables = found["child"]["variables"]
    assert {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "YOLO_OFFLINE": "true",
        "YOLO_AUTOINSTALL": "false",
        "YOLO_VERBOSE": "false",
    }.items() <= variables.items()


def test_ultralytics_settings_are_private_and_do_not_stay(found: dict) -> None:
    settings = Path(found["child"]["settings"])
    assert settings.is_relative_to(found["child"]["variables"]["YOLO_CONFIG_DIR"])
    assert "sweep-ultralytics-" in str(settings)
    end = time.monotonic() + 120  # the server goes after its supervisor
    while settings.exists():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_supervisor_is_untouched(found: dict) -> None:
    assert found["environment_untouched"] is True
    assert found["torch_here"] is False
