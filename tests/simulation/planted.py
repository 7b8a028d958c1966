"""Plants bugs in the product one at a time, and tells which seed found which.

    python -m tests.simulation.planted [--most 400] [--only WORDS]

Each bug is looked for in a process of its own, whose import of one module finds the changed text.
Seeds that fail on the product as it is find nothing; they are left out.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import Any

from tests.simulation.bugs import BUGS, Bug


class Changed(Exception):
    """The product's text is not what it was when the bug was written: write it anew."""


class _Planting(SourceFileLoader):
    bug: Bug

    def get_code(self, fullname: str) -> Any:
        return compile(planted(self.bug, Path(self.path)), self.path, "exec")


class _Finder(MetaPathFinder):
    """Finds one module with a bug in it."""

    def __init__(self, bug: Bug) -> None:
        self._bug = bug

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname != self._bug.module:
            return None
        found = PathFinder.find_spec(fullname, path, target)
        if found is None or found.origin is None:
            return None
        loader = _Planting(fullname, found.origin)
        loader.bug = self._bug
        return importlib.util.spec_from_file_location(fullname, found.origin, loader=loader)


def file_of(bug: Bug) -> Path:
    """Return the file of the module that a bug is planted in."""
    found = importlib.util.find_spec(bug.module)
    if found is None or found.origin is None:
        raise Changed(f"there is no {bug.module}")
    return Path(found.origin)


def planted(bug: Bug, file: Path) -> str:
    """Return the text of a module with a bug in it.

    Raises:
        Changed: If the text is not there, or more than once.
    """
    text = file.read_text()
    if text.count(bug.before) != 1:
        raise Changed(f"{bug.module} has {text.count(bug.before)} times {bug.before!r}")
    return text.replace(bug.before, bug.after)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=400, help="schedules a bug (400)")
    parser.add_argument("--only", default="", help="bugs with these words in their names")
    parser.add_argument("--bug", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--database", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument(
        "--failing", type=int, nargs="*", default=[], help="seeds known to fail without a bug"
    )
    options = parser.parse_args()
    failing: set[int] = set(options.failing)
    if options.bug is not None:
        found = _look_for(options.bug, options.database, options.first, options.most, failing)
        print(json.dumps(found))
        return
    print(
        "| bug | room | seed | after schedules | what was broken |\n| --- | --- | --- | --- | --- |"
    )
    for number, bug in enumerate(BUGS):
        if options.only in bug.name:
            seed, violation = _found(number, options.first, options.most, failing)
            tried = "-" if seed < 0 else seed + 1 - options.first - sum(s < seed for s in failing)
            print(f"| {bug.name} | {bug.module} | {seed} | {tried} | {violation} |", flush=True)


def _found(number: int, first: int, most: int, failing: set[int]) -> tuple[int, str]:
    """Return the seed that finds a bug (-1 for none), and what is broken then.

    What is found to fail without the bug, too, is added to `failing`.
    """
    begin, end, database = first, first + most, BUGS[number].database
    while True:
        seed, violation = _ask(number, database, begin, end - begin, failing)
        if seed < 0 or _ask(-1, database, seed, 1, set())[0] < 0:
            return seed, violation
        failing.add(seed)
        begin = seed + 1


def _ask(number: int, database: str, first: int, most: int, failing: set[int]) -> tuple[int, str]:
    """Look for a bug in a process of its own; -1 is the product as it is."""
    command = [sys.executable, "-m", "tests.simulation.planted", f"--bug={number}"]
    command += [f"--database={database}"]
    command += [f"--first={first}", f"--most={most}", "--failing", *map(str, sorted(failing))]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        return -1, done.stderr.strip().splitlines()[-1]
    seed, violation = json.loads(done.stdout.splitlines()[-1])
    return int(seed), str(violation)


def _look_for(
    number: int, database: str, first: int, most: int, failing: set[int]
) -> tuple[int, str]:
    """Return the first seed that breaks an invariant with a bug planted; -1 for none."""
    if number >= 0:
        sys.meta_path.insert(0, _Finder(BUGS[number]))
    from tests.simulation.schedule import draw
    from tests.simulation.simulator import Simulator

    with Simulator(database) as simulator:
        for seed in range(first, first + most):
            if seed not in failing and (violations := simulator.run(draw(seed)).violations):
                return seed, violations[0]
    return -1, ""


if __name__ == "__main__":
    main()
