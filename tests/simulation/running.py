"""Many schedules in several processes."""

import itertools
import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.queues import SimpleQueue
from typing import Any

from tests.simulation.schedule import draw
from tests.simulation.simulator import Ending, Simulator

_PROGRESS_S = 60.0


def run_many(
    first: int,
    stop: int | None,
    *,
    database: str = "sqlite",
    processes: int,
    limit_s: float | None = None,
) -> int:
    """Run seeds in processes; print each that fails as soon as it does.

    Args:
        first: The first seed.
        stop: The seed after the last one; None for as many as there is time for.
        database: Which of `simulator.SERVERS` each process runs them on.
        processes: How many at the same time.
        limit_s: For how long, in seconds.

    Returns:
        1 if one of them failed, else 0.
    """
    began = shown = time.monotonic()
    until = None if limit_s is None else began + limit_s
    context = multiprocessing.get_context("spawn")
    results: SimpleQueue[Any] = context.SimpleQueue()
    workers = [
        context.Process(
            target=_work,
            args=(database, first + number, processes, stop, until),
            kwargs={"results": results},
        )
        for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    schedules = failed = moments = 0
    virtual_s = 0.0
    working = len(workers)
    while working:
        found = results.get()
        if found is None:
            working -= 1
            continue
        seed, violation, count, seconds = found
        schedules, moments, virtual_s = schedules + 1, moments + count, virtual_s + seconds
        if violation:
            failed += 1
            print(f"seed {seed}: {violation}", flush=True)
        if time.monotonic() - shown > _PROGRESS_S:
            shown = time.monotonic()
            print(_speed(schedules, failed, shown - began), flush=True)
    for worker in workers:
        worker.join()
    print(_speed(schedules, failed, time.monotonic() - began))
    print(
        f"{moments} moments at which something could strike, {virtual_s / 3600:.0f} virtual hours"
    )
    return int(failed > 0 or any(worker.exitcode for worker in workers))


def _speed(schedules: int, failed: int, seconds: float) -> str:
    per_hour = 3600 * schedules / max(seconds, 1e-9)
    return f"{schedules} schedules, {failed} failed, {per_hour:.0f} an hour"


def _work(
    database: str,
    first: int,
    step: int,
    stop: int | None,
    until: float | None,
    *,
    results: "SimpleQueue[Any]",
) -> None:
    try:
        with Simulator(database) as simulator:
            for ending in _endings(simulator, first, step, stop, until):
                violation = ending.violations[0] if ending.violations else ""
                results.put((ending.plan.seed, violation, ending.moments, ending.virtual_s))
    finally:
        results.put(None)


def _endings(
    simulator: Simulator, first: int, step: int, stop: int | None, until: float | None
) -> Iterator[Ending]:
    for seed in itertools.count(first, step):
        if (stop is not None and seed >= stop) or (until and time.monotonic() > until):
            return
        yield simulator.run(draw(seed))
