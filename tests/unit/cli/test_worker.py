"""`sweep worker` with several workers: what it shows, when it leaves, what it tells the workers."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from storage.database import Database
from storage.queue.queue import Queue
from storage.states import SlotState
from sweep.api.running import wait
from sweep.launch import launchers
from sweep.launch.base import WorkerOptions
from sweep.launch.local import LocalLauncher
from sweep.training.contract import Device
from tests.command import Command, Finished, run_here
from tests.contracts.test_queue import RESULT, claimed

SECRET = "s3cretw0rd"
SWEEP = {
    "trainer": "sweep.testing:instant_trainer",
    "search": {"epochs": 2, "space": {"lr0": [0.1, 0.01]}},
}


class Puppet:
    """A launcher whose workers do what a test says, a step at each wait, and leave after it."""

    def __init__(self, steps: Sequence[Callable[[], None]]) -> None:
        self.steps = list(steps)
        self.devices: list[Device] = []
        self.options: WorkerOptions | None = None
        self.stops: list[float | None] = []
        self.failed = False

    def start(self, devices: Sequence[Device], options: WorkerOptions) -> None:
        self.devices, self.options = list(devices), options

    @property
    def running(self) -> bool:
        return bool(self.steps)

    def wait(self, timeout_s: float) -> None:
        self.steps.pop(0)()

    def stop(self, within_s: float | None = None) -> None:
        self.stops.append(within_s)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Finished, Puppet]]:
    """Queue the sweeps `one` and `two`; return what runs `sweep worker` with made up workers."""
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        file = Command(tmp_path).write(f"{name}.yaml", {"name": name} | SWEEP)
        assert run_here("submit", file).code == 0

    def run(steps: Sequence[Callable[[], None]], *options: str) -> tuple[Finished, Puppet]:
        puppet = Puppet(steps)
        monkeypatch.setattr(launchers, "LAUNCHERS", {"local": lambda: puppet})
        words = ("worker", "--device", "cpu", "--workers", "3", *options)
        return run_here(*words), puppet

    return run


def complete() -> None:
    """Complete the next trial of the sweep whose turn it is."""
    queue = Queue(Database.open("sqlite:///sweep.db").engine)
    lease = claimed(queue)
    queue.record_trial(lease, trial_id=lease.slot.id, number=lease.slot.ordinal, params={})
    report = {"seconds": 1.0}
    for epoch in (1, 2):
        queue.record_epoch(lease, epoch=epoch, map50=0.5, map50_95=0.3, report=report)
    queue.settle(lease, SlotState.COMPLETE, result=RESULT, value=0.3)


def test_it_shows_the_trials_of_all_sweeps_and_why_it_leaves(
    work: Callable[..., tuple[Finished, Puppet]],
) -> None:
    done, puppet = work([complete] * 4, "--drain", "--log-file", "logs/all.log")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "3 workers; logs in runs/workers"
    assert [line.partition("  ")[0] for line in lines[1:-1]] == [
        "one: search 1/2: trial 0 complete epoch 2/2",
        "one: search 2/2: trial 1 complete epoch 2/2",
        "two: search 1/2: trial 0 complete epoch 2/2",
        "two: search 2/2: trial 1 complete epoch 2/2",
    ]
    assert lines[-1] == "the workers have left: nothing is left to do"
    assert puppet.devices == [Device()] * 3
    assert puppet.options is not None
    assert (puppet.options.names, puppet.options.drain) == ([], True)
    assert puppet.options.log_file == Path("logs/all.log")


def test_those_named_are_shown_alone(work: Callable[..., tuple[Finished, Puppet]]) -> None:
    done, puppet = work([complete] * 2, "one")
    shown = [line.partition(":")[0] for line in done.out.splitlines()[1:-1]]
    assert shown == ["search 1/2", "search 2/2"]
    assert puppet.options is not None
    assert (puppet.options.names, puppet.options.drain) == (["one"], False)


@pytest.mark.parametrize(
    ("number", "code", "says", "within_s"),
    [
        (signal.SIGINT, 130, "sweep: left; what was begun goes on with the next worker", None),
        (signal.SIGTERM, 0, "the workers have left: told to", pytest.approx(77, abs=76)),
    ],
)
def test_ctrl_c_is_130_and_a_schedulers_word_is_not(
    number: int,
    code: int,
    says: str,
    within_s: Any,
    work: Callable[..., tuple[Finished, Puppet]],
) -> None:
    def told() -> None:
        os.kill(os.getpid(), number)

    done, puppet = work([told, lambda: None], "--grace-s", "77")
    assert done.code == code
    assert says in done.out + done.err
    assert puppet.stops == [within_s]
    assert puppet.options is not None
    assert puppet.options.grace_s == 77


def test_workers_are_not_left_alone_when_showing_them_fails() -> None:
    puppet = Puppet([lambda: None] * 3)

    def fail() -> None:
        raise RuntimeError("nobody reads on")

    with pytest.raises(RuntimeError, match="nobody reads on"):
        wait(puppet, fail)
    assert (puppet.stops, puppet.running) == ([None], False)


def test_workers_get_the_log_file_and_a_url_that_no_list_of_processes_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, Any]] = []

    def start(command: list[str], **options: Any) -> None:
        started.append({"command": command, **options})

    monkeypatch.setattr(subprocess, "Popen", start)
    options = WorkerOptions(
        storage=f"postgresql://me:{SECRET}@host/db",
        names=["one"],
        drain=True,
        log_folder=tmp_path,
        log_file=tmp_path / "all.log",
    )
    LocalLauncher().start([Device(), Device()], options)
    for process in started:
        assert SECRET not in " ".join(process["command"])
        assert process["env"]["SWEEP_STORAGE"] == options.storage
        place = process["command"].index("--log-file")
        assert process["command"][place + 1] == str(tmp_path / "all.log")
    assert len(started) == 2


@pytest.mark.parametrize("grace", ["-1", "nan", "1e9"])
def test_a_grace_that_no_clock_counts_to_is_refused(grace: str) -> None:
    done = run_here("worker", "--device", "cpu", "--grace-s", grace)
    assert done.code == 2
    assert done.err.startswith("sweep: --grace-s: found ")
    assert "allowed are 0 to 86400 seconds" in done.err
