"""A training process and its supervisor: real processes, real signals, made-up trainings."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pytest

from sweep.paths import LOG
from sweep.training.contract import Decision, EpochReport, FailureKind, TrialJob
from sweep.training.process import child, child_main
from sweep.training.process.child import ChildProcess
from sweep.training.process.heartbeat import Pulse
from sweep.training.process.messages import (
    Alive,
    Completed,
    EpochDone,
    Failed,
    Message,
    Stopped,
    Unable,
)
from tests.trainings import next_word

MakeJob = Callable[..., TrialJob]


@pytest.fixture
def job(tmp_path: Path) -> MakeJob:
    def make(trainer: str = "sweep.testing:instant_trainer", **settings: Any) -> TrialJob:
        return TrialJob(
            sweep="s",
            slot=1,
            attempt=1,
            trainer=trainer,
            params={"lr0": 0.01, "optimizer": "SGD"},
            settings=settings,
            epochs=3,
            dataset=None,
            run_folder=tmp_path / "run",
            model="none",
        )

    return make


@pytest.fixture
def start() -> Iterator[Callable[[TrialJob], ChildProcess]]:
    started: list[ChildProcess] = []

    def begin(job: TrialJob) -> ChildProcess:
        started.append(ChildProcess.start(job))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


Start = Callable[[TrialJob], ChildProcess]


def follow(
    process: ChildProcess, decide: Callable[[EpochReport], Decision] = lambda _: Decision.CONTINUE
) -> list[Message]:
    """Return all messages to the final one, signs of life left out."""
    messages: list[Message] = []
    while True:
        message = next_word(process)
        messages.append(message)
        if not isinstance(message, EpochDone):
            return messages
        process.answer(decide(message.report))


def write_trainer(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str) -> str:
    """Write a module with a trainer `train` that children can import."""
    head = """
import os, stat, sys, time
from dataclasses import replace
from sweep import Decision, TrainingFailed, TrainingStopped, TrialResult, tick
from sweep.testing import made_up_epoch

class Mute(Exception):
    def __str__(self):
        raise RuntimeError("says nothing")

def epoch(number, **changes):
    return replace(made_up_epoch({}, seed=0, epoch=1), epoch=number, **changes)

def result(reports):
    return TrialResult.from_epochs(reports or [epoch(1)], "map50")
"""
    (folder / f"{name}.py").write_text(f"{head}\ndef train(job, on_epoch):\n{body}")
    monkeypatch.syspath_prepend(folder)
    return f"{name}:train"


def gone(pid: int) -> bool:
    """Return whether a process has ended; one that nobody waits for counts as ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end, f"not within 120 s: {what}"
        time.sleep(0.02)


def wait_until_gone(pid: int) -> None:
    wait_until(lambda: gone(pid), f"process {pid} ends")


def test_epochs_come_one_by_one_and_then_the_result(start: Start, job: MakeJob) -> None:
    process = start(job())
    messages = follow(process)
    reports = [message.report for message in messages if isinstance(message, EpochDone)]
    assert [report.epoch for report in reports] == [1, 2, 3]
    final = messages[-1]
    assert isinstance(final, Completed)
    assert final.result.last_map50 == reports[-1].map50
    assert final.result.environment["detsweep"] == version("detsweep")
    assert final.result.environment["device"].startswith("cpu")
    assert process.exitcode == 0
    assert gone(process.pid)


@pytest.mark.parametrize("decision", [Decision.PRUNE, Decision.STOP])
def test_a_decision_ends_the_training_within_the_epoch(
    decision: Decision, start: Start, job: MakeJob
) -> None:
    messages = follow(
        start(job()), lambda report: decision if report.epoch == 2 else Decision.CONTINUE
    )
    assert [type(message) for message in messages] == [EpochDone, EpochDone, Stopped]
    assert messages[-1] == Stopped(decision)


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        ("crash", FailureKind.CRASHED, "RuntimeError: the trainer crashed"),
        ("oom", FailureKind.OOM, "oom"),
        ("diverged", FailureKind.DIVERGED, "diverged"),
        ("data", FailureKind.DATA, "data"),
        ("exit", FailureKind.CRASHED, "exit code 3"),
        ("kill", FailureKind.CRASHED, "signal 9 (SIGKILL); the kernel kills so when memory"),
        ("typo", FailureKind.CRASHED, "ValueError: fault 'typo' is none of"),
    ],
)
def test_a_failure_is_a_kind_and_one_line(
    fault: str, kind: FailureKind, text: str, start: Start, job: MakeJob
) -> None:
    *epochs, final = follow(start(job(fault=fault, fault_epoch=2)))
    assert len(epochs) == 1
    assert isinstance(final, Failed)
    assert final.kind is kind
    assert text in final.message
    assert "\n" not in final.message


def test_the_log_has_what_was_printed_and_the_traceback(
    start: Start, job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = """
    print("from python")
    os.write(1, b"from below\\n")
    os.system("echo from a process")
    print("an error", file=sys.stderr)
    raise ValueError("first line\\nsecond line")
"""
    trainer = write_trainer(tmp_path, monkeypatch, "talking_trainer", body)
    (final,) = follow(start(job(trainer)))
    assert final == Failed(FailureKind.CRASHED, "ValueError: first line second line")
    log = (tmp_path / "run" / LOG).read_text()
    for text in ("from python", "from below", "from a process", "an error", "Traceback"):
        assert text in log


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("    return {'map50': 1.0}\n", "returned {'map50': 1.0} (dict), not a TrialResult"),
        (
            "    on_epoch({'epoch': 1})\n",
            "epoch: found {'epoch': 1} (dict); allowed is EpochReport",
        ),
        ("    sys.exit(5)\n", "SystemExit: 5"),
        ("    on_epoch(epoch(2))\n", "epoch: found 2 (int); allowed is 1"),
        (
            "    try:\n        on_epoch(epoch(7))\n    finally:\n        return 3\n",
            "epoch: found 7",
        ),
        ("    on_epoch(epoch(1, map50='x'))\n", "epoch 1: map50: found 'x' (str)"),
        ("    return result([])\n", "result: returned without a report of an epoch"),
        (
            "    on_epoch(epoch(1))\n    return result([epoch(1), epoch(2)])\n",
            "result: epochs: found 2 (int); allowed is 1",
        ),
        (
            "    on_epoch(epoch(1))\n"
            "    return replace(result([epoch(1)]), effective={'x': lambda: 0})\n",
            "result: effective.x: found <function",
        ),
        ("    raise TrainingStopped(Decision.STOP)\n", "stopped, though it was told to go on"),
        ("    raise TrainingFailed('preempted', 'a\\0b \\udcff')\n", r"a\x00b \udcff"),
        ("    raise Mute()\n", "Mute"),
        ("    raise TrainingFailed('oom', Mute())\n", "TrainingFailed, of which nothing can be"),
        ("    sys.stdout = sys.stderr = None\n    raise ValueError('quiet')\n", "quiet"),
        (
            "    for fd in range(3, 64):\n"
            "        try:\n"
            "            if stat.S_ISSOCK(os.fstat(fd).st_mode):\n"
            "                os.write(fd, b'progress: 1 of 3\\n')\n"
            "        except OSError:\n"
            "            pass\n"
            "    time.sleep(600)\n",
            "wrote into its supervisor's pipe: progress: 1 of 3",
        ),
    ],
)
def test_a_broken_trainer_is_a_failure(
    body: str, text: str, job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"broken_trainer_{abs(hash(body))}"
    process = ChildProcess.start(job(write_trainer(tmp_path, monkeypatch, name, body)))
    final = follow(process)[-1]
    assert isinstance(final, Failed)
    assert final.kind is FailureKind.CRASHED
    assert text in final.message
    assert gone(process.pid)


@pytest.mark.parametrize(
    "body",
    [
        "    on_epoch(epoch(1, map50=float('nan')))\n",
        "    on_epoch(epoch(1))\n    return replace(result([]), map50=float('inf'))\n",
    ],
)
def test_numbers_that_are_not_finite_are_a_divergence(
    body: str, job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"endless_trainer_{abs(hash(body))}"
    process = ChildProcess.start(job(write_trainer(tmp_path, monkeypatch, name, body)))
    final = follow(process)[-1]
    assert isinstance(final, Failed)
    assert final.kind is FailureKind.DIVERGED
    assert "map50 is" in final.message


def test_a_trainer_that_is_not_there_is_no_failure_of_the_trial(start: Start, job: MakeJob) -> None:
    (final,) = follow(start(job("no_such_module:train")))
    assert isinstance(final, Unable)
    assert "No module named 'no_such_module'" in final.message


def test_a_trainer_that_ignores_the_decision_is_ended(
    start: Start, job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = """
    from sweep.testing import made_up_epoch
    for epoch in (1, 2, 3):
        on_epoch(made_up_epoch({}, seed=0, epoch=epoch))
"""
    trainer = write_trainer(tmp_path, monkeypatch, "stubborn_trainer", body)
    messages = follow(start(job(trainer)), lambda _: Decision.PRUNE)
    assert [type(message) for message in messages] == [EpochDone, Stopped]


def test_threads_left_behind_do_not_hold_the_process(
    start: Start, job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = """
    import threading
    from sweep.testing import instant_trainer
    threading.Thread(target=time.sleep, args=(600,)).start()
    return instant_trainer(job, on_epoch)
"""
    process = start(job(write_trainer(tmp_path, monkeypatch, "threaded_trainer", body)))
    assert isinstance(follow(process)[-1], Completed)
    assert process.exitcode == 0


def test_a_message_sent_before_death_is_not_lost(start: Start, job: MakeJob) -> None:
    process = start(job(fault="kill", fault_epoch=2))
    first = next_word(process)
    assert isinstance(first, EpochDone)
    os.kill(process.pid, signal.SIGKILL)
    wait_until_gone(process.pid)
    process.answer(Decision.CONTINUE)  # nobody is there; it must not raise
    assert isinstance(next_word(process), Failed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_to_leave_are_left_to_the_supervisor(
    start: Start, job: MakeJob, number: signal.Signals
) -> None:
    process = start(job())
    assert isinstance(next_word(process), EpochDone)
    os.kill(process.pid, number)
    process.answer(Decision.CONTINUE)
    assert isinstance(follow(process)[-1], Completed)


def test_a_signal_that_ends_it_is_named(start: Start, job: MakeJob) -> None:
    process = start(job())
    assert isinstance(next_word(process), EpochDone)
    os.kill(process.pid, signal.SIGUSR1)
    final = next_word(process)
    assert isinstance(final, Failed)
    assert "signal 10 (SIGUSR1)" in final.message


def test_killing_twice_is_harmless(start: Start, job: MakeJob) -> None:
    process = start(job(fault="hang"))
    process.kill()
    process.kill()
    assert gone(process.pid)
    assert process.exitcode == -signal.SIGKILL


def test_a_trial_that_failed_once_can_be_tried_again(start: Start, job: MakeJob) -> None:
    once = job(fault="crash", fault_attempts=1)
    assert isinstance(follow(start(once))[-1], Failed)
    assert isinstance(follow(start(replace(once, attempt=2)))[-1], Completed)


@pytest.mark.slow
def test_signs_of_life_come_while_a_training_is_slow(
    start: Start, job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = """
    from sweep.training.process import child_main
    child_main.ALIVE_EVERY_S = 0.05
    time.sleep(600)
"""
    # The link reads the interval anew at each turn; the first turn is the one of 5 s.
    process = start(job(write_trainer(tmp_path, monkeypatch, "slow_trainer", body)))
    signs = [process.receive(30) for _ in range(3)]
    assert [sign.pulse for sign in signs if isinstance(sign, Alive)] == [Pulse.UNSEEN] * 3
    assert "train (slow_trainer.py:" in process.place
    assert process.silent_s == 0
    assert process.unseen_s == 3 * child_main.ALIVE_EVERY_S, "as many signs, however long they took"


@pytest.mark.slow
def test_a_training_that_stopped_moving_gives_no_sign_of_life(
    start: Start, job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = """
    from sweep.training.process import child_main
    child_main.ALIVE_EVERY_S = 0.05
    tick()
    time.sleep(600)
"""
    process = start(job(write_trainer(tmp_path, monkeypatch, "hanging_trainer", body)))
    assert isinstance(process.receive(30), Alive)  # for its one tick
    while process.receive(1) is not None:  # for what came before it, if the beginning was slow
        pass
    before = process.silent_s
    assert process.receive(1) is None
    assert process.silent_s > before
    assert process.unseen_s == 0
    assert "train (hanging_trainer.py:" in process.tell_place()
    assert "most recent call first" in (tmp_path / "run" / LOG).read_text()


class HourlyClock:
    """A clock that an hour passes on between two looks."""

    def __init__(self) -> None:
        self._now = itertools.count(0, 3600)

    def monotonic(self) -> float:
        return float(next(self._now))


def test_an_hour_in_which_both_were_stopped_is_no_silence(
    start: Start, job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start(job(seconds_per_epoch=600))
    monkeypatch.setattr(child, "time", HourlyClock())
    assert process.receive(0.01) is None
    assert process.silent_s == 0.02


SUPERVISOR = """
import sys, time
from pathlib import Path

import psutil
from sweep.training.process.child import ChildProcess
from sweep.training.contract import TrialJob

job = TrialJob(
    sweep="s", slot=1, attempt=1, trainer="sweep.testing:instant_trainer", params={},
    settings={"fault": "hang"}, epochs=1, dataset=None, run_folder=Path(sys.argv[1]), model="none",
)
process = ChildProcess.start(job)
print(process.pid, psutil.Process(process.pid).ppid(), flush=True)
if sys.argv[2] == "wait":
    time.sleep(600)
raise SystemExit(int(sys.argv[2]))
"""


@pytest.mark.parametrize("end", ["killed", "exits"])
def test_no_training_outlives_its_supervisor(end: str, tmp_path: Path) -> None:
    # A script without `if __name__ == "__main__"`: its children must not run it again.
    script = tmp_path / "supervisor.py"
    script.write_text(SUPERVISOR)
    supervisor = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "run"), "wait" if end == "killed" else "7"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert supervisor.stdout is not None
    pid, server = map(int, supervisor.stdout.readline().split())
    if end == "killed":
        assert not gone(pid)
        supervisor.kill()
    assert supervisor.wait(30) == (-signal.SIGKILL if end == "killed" else 7)
    wait_until_gone(pid)
    wait_until_gone(server)
    assert supervisor.stdout.read() == ""


def test_a_training_dies_with_the_server_that_forked_it(tmp_path: Path) -> None:
    script = tmp_path / "supervisor.py"
    script.write_text(SUPERVISOR)
    supervisor = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "run"), "wait"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert supervisor.stdout is not None
        pid, server = map(int, supervisor.stdout.readline().split())
        wait_until((tmp_path / "run" / LOG).exists, "the training begins")
        os.kill(server, signal.SIGKILL)
        wait_until_gone(pid)
    finally:
        supervisor.kill()
        supervisor.wait(30)


def test_the_supervisor_imports_no_torch() -> None:
    code = (
        "import sys; import sweep.training.process.child;"
        "assert not {'torch', 'ultralytics', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
