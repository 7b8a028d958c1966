"""Runs schedules until time or seeds run out, and tells which of them broke an invariant.

python -m tests.simulation --seed 7              one, with its log
python -m tests.simulation --seeds 0-9999        those
python -m tests.simulation --hours 1             new ones, for so long
python -m tests.simulation --seed 7 --shrink     the fewest faults and deeds that still fail
"""

import argparse
import os
import secrets
import sys

from tests.simulation.running import run_many
from tests.simulation.schedule import draw
from tests.simulation.shrinking import shrunk
from tests.simulation.simulator import SERVERS, Ending, Simulator

_NEW_SEEDS = 2**40


def main() -> int:
    """Run what the command line asks for; return 1 if an invariant was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=int, help="run this one and print its log")
    which.add_argument("--seeds", help="run those from A to B, written A-B")
    which.add_argument("--hours", type=float, help="run new ones for so long")
    parser.add_argument("--database", choices=SERVERS, default="sqlite", help="on which (sqlite)")
    parser.add_argument("--processes", type=int, default=2, help="at the same time (2)")
    parser.add_argument("--shrink", action="store_true", help="drop what --seed fails without")
    options = parser.parse_args()
    _hash_alike()
    if options.seed is not None:
        return _one(options.seed, options.database, shrink=options.shrink)
    if options.seeds is not None:
        first, _, last = options.seeds.partition("-")
        seeds = range(int(first), int(last or first) + 1)
        return run_many(
            seeds.start, seeds.stop, database=options.database, processes=options.processes
        )
    first = secrets.randbelow(_NEW_SEEDS)
    print(f"from seed {first}", flush=True)
    return run_many(
        first,
        None,
        database=options.database,
        processes=options.processes,
        limit_s=options.hours * 3600,
    )


def _hash_alike() -> None:
    """Begin again with a fixed order of sets: some statements of the product come in theirs."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])


def _one(seed: int, database: str, *, shrink: bool) -> int:
    plan = draw(seed)
    with Simulator(database) as simulator:
        ending = simulator.run(plan)
        if shrink and ending.violations:
            ending = shrunk(simulator, ending)
    _show(ending)
    return bool(ending.violations)


def _show(ending: Ending) -> None:
    plan = ending.plan
    print(f"seed {plan.seed}, shape {plan.shape}, workers {', '.join(plan.devices)}")
    for at, thing in sorted(
        [*((fault.at, repr(fault)) for fault in plan.faults)]
        + [(deed.at, repr(deed)) for deed in plan.deeds]
    ):
        print(f"  {at}: {thing}")
    for at, who, what in ending.log:
        print(f"{at:12.3f}  {who:8}  {what}")
    print(f"{ending.moments} moments, {ending.virtual_s:.0f} virtual seconds")
    for violation in ending.violations:
        print(f"VIOLATED  {violation}")


if __name__ == "__main__":
    sys.exit(main())
