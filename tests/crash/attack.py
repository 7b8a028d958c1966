"""Many processes empty one queue while some of them are killed at random."""

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from sqlalchemy import Engine, select

from storage.database import Database
from storage.engine import reading
from storage.errors import LeaseLost
from storage.process_identity import ProcessIdentity
from storage.queue import stages
from storage.queue.queue import Queue
from storage.states import SlotState
from storage.tables import attempts, slots
from tests.submission import submit

_RESULT = {"map50": 0.5, "map50_95": 0.3}
_PAUSE_S = 0.02
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.crash.attack"])


def attack(url: str, folder: Path, *, processes: int, budget: int, kills: int, seed: int) -> int:
    """Have `processes` workers settle `budget` slots, killing one `kills` times.

    Args:
        url: An empty database.
        folder: Where each worker notes what it settled.
        processes: How many work at a time; a killed one is replaced.
        budget: Slots.
        kills: How often a worker is killed, at a random moment.
        seed: Of the choice of workers and moments.

    Returns:
        How many attempts were lost with their worker.

    Raises:
        AssertionError: If a slot was not settled exactly once, or a worker ended with an error.
    """
    engine = Database.open(url).engine
    assert submit(engine, budget=budget, epochs=1)
    ((stage_id, _),) = stages.open_stages(engine, "one")
    engine.dispose()
    chance = random.Random(seed)
    working = [_start(url, stage_id, folder) for _ in range(processes)]
    ended: list[ForkServerProcess] = []
    kill_after = sorted((chance.randrange(budget) for _ in range(kills)), reverse=True)
    while working:
        wait([process.sentinel for process in working], _PAUSE_S)
        at_work = [process for process in working if _log(folder, process.pid).exists()]
        if kill_after and at_work and len(_noted(folder)) >= kill_after[-1]:
            kill_after.pop()
            victim = chance.choice(at_work)
            victim.kill()
            victim.join()
            working.append(_start(url, stage_id, folder))
        ended += [process for process in working if not process.is_alive()]
        working = [process for process in working if process.is_alive()]
    assert {process.exitcode for process in ended} <= {0, -signal.SIGKILL}
    lost = _check(engine, stage_id, folder)
    engine.dispose()
    return lost


def _start(url: str, stage_id: int, folder: Path) -> ForkServerProcess:
    process = _context.Process(target=_work, args=(url, stage_id, folder))
    process.start()
    return process


def _work(url: str, stage_id: int, folder: Path) -> None:
    engine = Database.open(url).engine
    queue, me = Queue(engine), ProcessIdentity.current()
    with _log(folder, os.getpid()).open("a", buffering=1) as settled_log:
        while not stages.all_closed(engine, stage_id):
            claiming = time.monotonic()
            lease = queue.claim(f"worker-{os.getpid()}", me)
            if lease is None:
                for left in queue.unprojected():
                    queue.close(left)
                time.sleep(_PAUSE_S)
                continue
            try:
                queue.record_epoch(lease, epoch=1, map50=0.5, map50_95=0.3, report={})
                settled = queue.settle(lease, SlotState.COMPLETE, result=_RESULT, value=0.3)
            except LeaseLost:
                # A computer that slept, or gave this process no turn past its lease: the work is
                # dropped. Whoever took over must have watched the lease for as long as this.
                if time.monotonic() - claiming < queue.renewal_s:
                    raise
                continue
            settled_log.write(f"{lease.slot.id}\n")
            queue.close(settled)


def _log(folder: Path, pid: int | None) -> Path:
    """Where a worker notes the slots that it settled; it is there once the worker is at work."""
    return folder / f"settled-{pid}"


def _noted(folder: Path) -> list[str]:
    return [line for log in folder.glob("settled-*") for line in log.read_text().splitlines()]


def _check(engine: Engine, stage_id: int, folder: Path) -> int:
    """Look for slots that were settled twice or not; return the number of lost attempts."""
    noted = _noted(folder)
    assert len(noted) == len(set(noted))
    with reading(engine) as connection:
        found = connection.execute(select(slots).where(slots.c.stage_id == stage_id)).all()
        history = connection.execute(select(attempts)).all()
    assert {(slot.state, slot.unprojected) for slot in found} == {(SlotState.COMPLETE, False)}
    endings = Counter((attempt.slot_id, attempt.ending) for attempt in history)
    for slot in found:
        assert endings.pop((slot.id, SlotState.COMPLETE)) == 1
        assert endings.pop((slot.id, "lost"), 0) == slot.attempt - 1
    assert not endings
    return sum(slot.attempt - 1 for slot in found)
