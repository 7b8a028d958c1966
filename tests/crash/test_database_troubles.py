"""The database is away, frozen or slow for longer than a lease: no worker ends, no trial is lost.

Leases are short here. By hand, with leases as they are, a minute long and two seconds a statement:
`SWEEP_TEST_TROUBLE_S=60 python -m pytest -s tests/crash/test_database_troubles.py`.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.command import Command, kill_group, wait_until
from tests.crash.workers import EPOCHS, complete_epochs, read, running, sweep_file
from tests.postgres import Postgres
from tests.proxy import SlowProxy

pytestmark = pytest.mark.slow

BY_HAND = "SWEEP_TEST_TROUBLE_S" in os.environ
TROUBLE_S = float(os.environ.get("SWEEP_TEST_TROUBLE_S", "9"))
LEASE_S = 60.0 if BY_HAND else 6.0
DELAY_S = 2.0 if BY_HAND else 0.2
WORKERS = 8 if BY_HAND else 4
Trouble = Callable[[Postgres, SlowProxy], AbstractContextManager[None]]


@contextmanager
def away(server: Postgres, _: SlowProxy) -> Iterator[None]:
    server.stop()
    yield
    server.start()


@contextmanager
def frozen(server: Postgres, _: SlowProxy) -> Iterator[None]:
    server.freeze()
    yield
    server.thaw()


@contextmanager
def slow(_: Postgres, proxy: SlowProxy) -> Iterator[None]:
    proxy.delay_s = DELAY_S
    yield
    proxy.delay_s = 0.0


@pytest.fixture
def server() -> Iterator[Postgres]:
    server = Postgres(fsync="off")
    server.start()
    yield server
    server.remove()


@pytest.fixture
def proxy(server: Postgres) -> Iterator[SlowProxy]:
    proxy = SlowProxy(server.port)
    yield proxy
    proxy.close()


def started(sweep: Command, url: str) -> subprocess.Popen[str]:
    words = ("worker", "one", "--storage", url, "--share", "cpu:0:1.0", "--drain")
    return subprocess.Popen(
        [sys.executable, "-m", "tests.crash.short_leases", *words],
        cwd=sweep.folder,
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), "SWEEP_TEST_LEASE_S": str(LEASE_S)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("trouble", [away, frozen, slow])
def test_workers_outlast_a_trouble_of_the_database(
    sweep: Command, server: Postgres, proxy: SlowProxy, trouble: Trouble
) -> None:
    direct = server.create_database("sweeps")
    url = direct.replace(f":{server.port}/", f":{proxy.port}/")
    content = sweep_file(train={"seconds_per_epoch": max(0.5, TROUBLE_S / 12)})
    content["search"]["space"]["lr0"] = [0.1 / number for number in range(1, 2 * WORKERS + 1)]
    done = sweep("submit", sweep.write("one.yaml", content), "--storage", url)
    assert done.code == 0, done.err
    workers = [started(sweep, url) for _ in range(WORKERS)]
    try:
        wait_until(lambda: running(direct) >= WORKERS, workers[0])
        with trouble(server, proxy):
            time.sleep(TROUBLE_S)
            left = [worker.poll() for worker in workers]
        ended = time.monotonic()
        outputs = [worker.communicate()[0] for worker in workers]
    finally:
        for worker in workers:
            if worker.poll() is None:
                kill_group(worker)
    assert left == [None] * WORKERS, outputs
    assert [worker.returncode for worker in workers] == [0] * WORKERS, outputs
    stage = read(direct).stages[0]
    assert complete_epochs(read(direct)) == [list(range(1, EPOCHS + 1))] * len(stage.slots)
    assert stage.endings == {"complete": len(stage.slots)}
    assert {slot.attempt for slot in stage.slots} == {1}
    _tell(outputs, time.monotonic() - ended)


def _tell(outputs: list[str], rest_s: float) -> None:
    """Print what a person wants to know who runs this by hand."""
    words = ("waiting for it", "answers again", "cannot be renewed", "is renewed again", "WARNING")
    said = Counter(word for output in outputs for word in words for _ in output.split(word)[1:])
    print(f"{len(outputs)} workers, {rest_s:.0f} s from the end of the trouble to the last: {said}")
