"""What every launcher must do: the one that ships, and one made up here."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from storage.database import Database
from storage.errors import StorageError
from storage.snapshot.reader import read_sweep
from storage.states import SlotState
from sweep import Device
from sweep.api.submitting import submit
from sweep.launch.base import Launcher, WorkerOptions
from sweep.launch.launchers import LAUNCHERS
from sweep.worker.shutdown import Shutdown
from sweep.worker.worker import Worker
from tests.command import Command

pytestmark = pytest.mark.slow

SWEEP = {
    "name": "one",
    "trainer": "sweep.testing:instant_trainer",
    "search": {"epochs": 2, "space": {"lr0": [0.1, 0.03, 0.01]}},
}


class ThreadLauncher:
    """Workers in threads of this process."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._shutdown = Shutdown()
        self.failed = False

    def start(self, devices: Sequence[Device], options: WorkerOptions) -> None:
        for device in devices:
            thread = threading.Thread(target=self._serve, args=(device, options))
            thread.start()
            self._threads.append(thread)

    def _serve(self, device: Device, options: WorkerOptions) -> None:
        try:
            database = Database.open(options.storage)
        except StorageError:
            self.failed = True
            return
        names, drain = options.names, options.drain
        Worker(database, device=device, names=names, drain=drain, shutdown=self._shutdown).run()

    @property
    def running(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def wait(self, timeout_s: float) -> None:
        for thread in self._threads:
            thread.join(timeout_s)

    def stop(self, within_s: float | None = None) -> None:
        self._shutdown.ask(within_s)


@pytest.fixture(
    params=[
        *(
            pytest.param(found, marks=pytest.mark.slow, id=name)
            for name, found in LAUNCHERS.items()
        ),
        pytest.param(ThreadLauncher, id="made up"),
    ]
)
def launcher(request: pytest.FixtureRequest) -> Launcher:
    make: Callable[[], Launcher] = request.param
    return make()


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., WorkerOptions]:
    """Queue a sweep; return what makes options for workers on it."""
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path / 'sweep.db'}"
    submit(Command(tmp_path).write("one.yaml", SWEEP), storage=url)

    def make(storage: str = url, *, drain: bool = True) -> WorkerOptions:
        return WorkerOptions(storage=storage, names=["one"], drain=drain, log_folder=Path("logs"))

    return make


def slot_states(options: WorkerOptions) -> list[SlotState]:
    engine = Database.open(options.storage).engine
    return [slot.state for slot in read_sweep(engine, "one").stages[0].slots]


def test_nothing_runs_before_the_start(launcher: Launcher) -> None:
    assert (launcher.running, launcher.failed) == (False, False)
    launcher.wait(60)


def test_workers_leave_when_all_is_done(
    launcher: Launcher, options: Callable[..., WorkerOptions]
) -> None:
    launcher.start([Device(), Device()], options())
    assert launcher.running
    launcher.wait(60)
    assert (launcher.running, launcher.failed) == (False, False)
    assert slot_states(options()) == [SlotState.COMPLETE] * 3


def test_workers_that_wait_for_more_leave_when_they_are_told(
    launcher: Launcher, options: Callable[..., WorkerOptions]
) -> None:
    launcher.start([Device()], options(drain=False))
    while SlotState.QUEUED in slot_states(options()):
        launcher.wait(0.1)
    launcher.wait(0.1)
    assert launcher.running
    launcher.stop()
    launcher.wait(60)
    assert (launcher.running, launcher.failed) == (False, False)


def test_a_worker_that_cannot_work_is_told(
    launcher: Launcher, options: Callable[..., WorkerOptions]
) -> None:
    launcher.start([Device()], options(storage="sqlite:///no/such/folder/sweep.db"))
    launcher.wait(60)
    assert (launcher.running, launcher.failed) == (False, True)
