"""The queue beside Optuna's own `ask`, on one PostgreSQL in one run.

    python bench/queue.py [--workers 8] [--small 1000] [--large 100000]

Prints medians over all calls of all workers, in milliseconds. "claim" is the claim's own
transaction, "ready" goes from the claim to an Optuna trial that runs and is noted on its slot;
"ask" is `study.ask()` with as many trials waiting as there are slots at first.
"""

import sys
from pathlib import Path

# Python puts this folder first, where `queue` would be this file instead of the standard library's.
sys.path[0] = str(Path(__file__).parents[1])

import argparse
import multiprocessing
import os
import time
from statistics import median

import optuna

from bench.simulated_worker import claimed, make_ready
from storage.database import Database
from tests.postgres import Postgres
from tests.submission import submit

CALLS = 40
"""Claims, or asks, of each worker."""
_context = multiprocessing.get_context("spawn")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--small", type=int, default=1_000)
    parser.add_argument("--large", type=int, default=100_000)
    options = parser.parse_args()
    server = Postgres(max_connections="200")
    server.start()
    try:
        asked = _asks(server, options.small, options.workers)
        print(f"ask, {options.small} waiting: median {asked:.1f} ms")
        for budget in (options.small, options.large):
            url = server.create_database(f"queue_{budget}")
            print(f"submitting {budget} slots: {_submit(url, budget):.2f} s")
            claim, ready = _claims(url, options.workers)
            print(
                f"{budget} slots: claim {claim:.1f} ms, ready {ready:.1f} ms, "
                f"{asked / ready:.1f} times faster than ask, claim is {claim / ready:.0%} of ready"
            )
    finally:
        server.remove()


def _submit(url: str, budget: int) -> float:
    """Queue a sweep; return the seconds it took."""
    database = Database.open(url)
    began = time.perf_counter()
    submit(database.engine, budget=budget)
    seconds = time.perf_counter() - began
    database.studies.ensure("one/search", metric="map50", attributes={})
    database.rest()
    return seconds


def _claims(url: str, workers: int) -> tuple[float, float]:
    """Return the medians of claim and ready, in ms."""
    with _context.Pool(workers) as pool:
        found = pool.map(_claim, [url] * workers, chunksize=1)
    times = [pair for one in found for pair in one]
    return median(claim for claim, _ in times) * 1e3, median(ready for _, ready in times) * 1e3


def _claim(url: str) -> list[tuple[float, float]]:
    database, name = Database.open(url), f"worker-{os.getpid()}"
    database.studies.ensure("one/search", metric="map50", attributes={})
    times = []
    for number in range(CALLS):
        began = time.perf_counter()
        lease = claimed(database, name)
        was_claimed = time.perf_counter()
        make_ready(database, "one/search", lease)
        was_ready = time.perf_counter()
        if number > 0:  # the first opens connections
            times.append((was_claimed - began, was_ready - began))
    return times


def _asks(server: Postgres, waiting: int, workers: int) -> float:
    """Return the median of `study.ask()` in ms."""
    url = server.create_database("asks")
    study = optuna.create_study(storage=url, study_name="asks")
    for number in range(waiting):
        study.enqueue_trial({"lr0": 1 / (number + 1)})
    with _context.Pool(workers) as pool:
        found = pool.map(_ask, [url] * workers, chunksize=1)
    return median(seconds for one in found for seconds in one) * 1e3


def _ask(url: str) -> list[float]:
    study = optuna.load_study(storage=url, study_name="asks")
    times = []
    for number in range(CALLS // 4):
        began = time.perf_counter()
        study.ask()
        if number > 0:
            times.append(time.perf_counter() - began)
    return times


if __name__ == "__main__":
    main()
