"""What it takes a worker's fork server to load torch and Ultralytics, for as many as there are.

Prints the longest, in seconds: from asking for the server to the end of its first process.
"""

import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from task import Task

from sweep.training.process.forkserver import fork_context


def load(_: int) -> float:
    """Start a fork server, and a process from it that does nothing; return the seconds."""
    start = time.perf_counter()
    with fork_context("ultralytics") as context:
        process = context.Process(target=os.getpid)
        process.start()
        process.join()
    return time.perf_counter() - start


if __name__ == "__main__":
    workers = Task.read(sys.argv[1]).processes
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        print(max(pool.map(load, range(workers))))
