"""How many workers one PostgreSQL bears.

    python bench/load.py [--workers 1000] [--pruned 50] [--seconds 600]

Simulated workers make the database calls of real ones through the same code, each on a connection
of its own that it holds only while it has something to say: they claim a trial, note an epoch a
minute and renew their leases in between. They begin one after the other, which is not measured.
A write is what a worker waits for: a renewal, or an epoch with all that belongs to it, connecting
included. Then fewer workers do the same for a minute with the median pruner.
"""

import sys
from pathlib import Path

# Python puts this folder first, where `queue` would be a file of it, not the standard library's.
sys.path[0] = str(Path(__file__).parents[1])

import argparse
import multiprocessing
import threading
import time
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from statistics import mean, quantiles

from sqlalchemy import func, select

from bench.simulated_worker import Found, Office, Worker, spec_of
from storage.database import Database
from storage.engine import connectable_engine, reading
from storage.errors import LeaseLost
from storage.tables import slots
from tests.postgres import Postgres
from tests.submission import submit

EPOCH_S = 60.0
PROCESSES = 4
"""The simulated workers are threads of so many processes."""
MAX_CONNECTIONS = 1100
RAMP_S_PER_WORKER = 0.18
"""The workers begin so far apart: a claim costs this computer more than an epoch does."""
FINISHED = 20
"""Trials that the median pruner compares with."""
_context = multiprocessing.get_context("spawn")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the workers are to do."""

    url: str
    pruner: str
    workers: int
    seconds: float
    """How long all of them work, after the last one has begun."""

    @property
    def ramp_s(self) -> float:
        """How long after the first worker the last one begins."""
        return max(EPOCH_S, RAMP_S_PER_WORKER * self.workers)


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--pruned", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    server = Postgres(max_connections=str(MAX_CONNECTIONS))
    server.start()
    try:
        print(f"{options.workers} workers, no pruner, {options.seconds:.0f} s:")
        per_worker = _measure(server, "none", options.workers, options.seconds)
        print(f"{options.pruned} workers, median pruner, {EPOCH_S:.0f} s:")
        pruned = _measure(server, "median", options.pruned, EPOCH_S)
        for pruner, load in (("no", per_worker), ("the median", pruned)):
            print(
                f"with {pruner} pruner and an epoch a minute, a server of two cores is half busy "
                f"with {1 / load:.0f} workers"
            )
    finally:
        server.remove()


def _measure(server: Postgres, pruner: str, workers: int, seconds: float) -> float:
    """Print how workers fared; return the cores of the server that one of them keeps busy."""
    url = server.create_database(pruner)
    _submit(url, pruner, workers + FINISHED)
    plan = Plan(url=url, pruner=pruner, workers=workers, seconds=seconds)
    everybody_there = _context.Barrier(PROCESSES + 1)
    results = _context.Queue()
    for number in range(PROCESSES):
        arguments = (plan, number, everybody_there, results)
        _context.Process(target=_work_all, args=arguments, daemon=True).start()
    everybody_there.wait()
    end = time.monotonic() + plan.ramp_s + seconds
    _sleep_until(end - seconds)
    busy_before, held = server.cpu_s(), []
    while time.monotonic() < end:
        held.append(server.connections(pruner))
        time.sleep(0.5)
    busy_s = server.cpu_s() - busy_before
    found: list[Found] = [results.get(timeout=120) for _ in range(PROCESSES)]
    _print_times("claim to ready trial", [s for one in found for s in one.claims])
    _print_times("renewal", [s for one in found for s in one.renewals])
    _print_times("epoch", [s for one in found for s in one.epochs])
    lost = sum(one.lost for one in found)
    print(f"  leases lost: {lost}, trials done twice: {_trials_done_twice(url)}")
    print(f"  calls that did not reach the database: {sum(one.outages for one in found)}")
    print(f"  connections held: {mean(held):.1f} on average, at most {max(held)}")
    print(f"  the server was busy for {busy_s:.0f} s in {seconds:.0f} s", flush=True)
    return busy_s / seconds / workers


def _submit(url: str, pruner: str, budget: int) -> None:
    """Queue a sweep; where it has a pruner, finish the first trials."""
    database, spec = Database.open(url), spec_of(pruner)
    submit(database.engine, pruner, budget, epochs=spec.search.epochs)
    database.studies.ensure(f"{pruner}/search", metric=spec.objective, attributes={})
    if pruner != "none":
        worker = Worker(Office(url), pruner, "before", Found())
        for _ in range(FINISHED):
            worker.claim()
            values = {epoch: worker.end_epoch() for epoch in range(1, 4)}
            worker.complete(values)
        worker.rest()
    database.rest()


def _work_all(plan: Plan, process: int, everybody_there: Barrier, results: "Queue[Found]") -> None:
    """Let this process's share of the workers work, each in its own thread."""
    found, office = Found(), Office(plan.url)
    workers = {
        number: Worker(office, plan.pruner, f"worker-{number}", found)
        for number in range(process, plan.workers, PROCESSES)
    }
    everybody_there.wait()
    begin = time.monotonic()
    end = begin + plan.ramp_s + plan.seconds
    threads = [
        threading.Thread(
            target=_work, args=(worker, begin + plan.ramp_s * number / plan.workers, end, found)
        )
        for number, worker in workers.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(found)


def _work(worker: Worker, first: float, end: float, found: Found) -> None:
    """Be one worker from one moment to another on `time.monotonic`'s clock."""
    _sleep_until(first)
    try:
        began = time.perf_counter()
        worker.patiently(worker.claim)
        found.claims.append(time.perf_counter() - began)
        worker.rest()
        due = first + worker.renewal_s
        while due < end:
            _sleep_until(due)
            between = round((due - first) / worker.renewal_s) % round(EPOCH_S / worker.renewal_s)
            began = time.perf_counter()
            if between:
                worker.renew()
            else:
                worker.end_epoch()
            times = found.renewals if between else found.epochs
            times.append(time.perf_counter() - began)
            worker.rest()
            due += worker.renewal_s
    except LeaseLost:
        found.lost += 1


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _print_times(what: str, seconds: list[float]) -> None:
    percentiles = quantiles(seconds, n=100, method="inclusive")
    print(
        f"  {what}: p50 {percentiles[49] * 1e3:.0f} ms, p99 {percentiles[98] * 1e3:.0f} ms, "
        f"max {max(seconds) * 1e3:.0f} ms ({len(seconds)} times)"
    )


def _trials_done_twice(url: str) -> int:
    """Count the trials that more than one worker was given."""
    engine = connectable_engine(url)
    with reading(engine) as connection:
        found = connection.execute(select(func.count()).where(slots.c.attempt > 1)).scalar_one()
    engine.dispose()
    return int(found)


if __name__ == "__main__":
    main()
