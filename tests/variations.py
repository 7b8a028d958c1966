"""All tests as other machines would run them: `python -m tests.variations sse41+random busy+four`.

Every argument is one run; `+` joins what varies in it. A table at the end tells how each went.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import SystemRandom

BUSY_LOOPS = 4


@dataclass(frozen=True, kw_only=True)
class Variation:
    """What is not as usual."""

    environment: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    """Of pytest; the last of two that contradict each other wins."""
    busy: bool = False
    """Whether other programs want the processor as well."""


def _kernels(onednn: str, aten: str) -> Variation:
    return Variation(environment={"ONEDNN_MAX_CPU_ISA": onednn, "ATEN_CPU_CAPABILITY": aten})


VARIATIONS = {
    "usual": Variation(),
    "sse41": _kernels("SSE41", "default"),
    "avx2": _kernels("AVX2", "avx2"),
    "avx2-default": _kernels("AVX2", "default"),
    "random": Variation(options=("--random-order",)),
    # What the limit of a test is for, a test that hangs, it finds later on a busy machine.
    "busy": Variation(busy=True, options=("--timeout=3600",)),
    "one": Variation(options=("-n", "1")),
    "four": Variation(options=("-n", "4")),
}


@contextmanager
def _others(busy: bool) -> Iterator[None]:
    loops = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(BUSY_LOOPS if busy else 0)
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()


def run(names: Sequence[str], tests: Sequence[str]) -> tuple[bool, str]:
    """Run the tests once; return whether they passed, and the row of the table."""
    chosen = [VARIATIONS[name] for name in names]
    environment = dict(os.environ)
    options = ["-n", "auto"]
    for variation in chosen:
        environment |= variation.environment
        options += variation.options
    if "--random-order" in options:  # every process of the tests must draw the same order
        options.append(f"--random-order-seed={SystemRandom().randrange(10**6)}")
    began = time.monotonic()
    with _others(any(variation.busy for variation in chosen)):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *options, *tests],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    print(done.stdout, flush=True)
    summary = re.findall(r"^(?:=+ )?(\d+ (?:passed|failed|skipped).*?) in ", done.stdout, re.M)
    seed = "".join(re.findall(r"seed=(\d+)", " ".join(options)))
    row = f"{'+'.join(names)}{f' (seed {seed})' if seed else ''}"
    text = f"| {row} | {summary[-1] if summary else done.returncode} |"
    return done.returncode == 0, f"{text} {time.monotonic() - began:.0f} |"


def main() -> None:
    """Run what the command line names; exit code 1 if a run failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", help=f"of {', '.join(VARIATIONS)}, joined by +")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--tests", nargs="+", default=["tests"])
    options = parser.parse_args()
    runs = [names.split("+") for names in options.runs for _ in range(options.times)]
    if unknown := {name for names in runs for name in names} - VARIATIONS.keys():
        parser.error(f"no variation {', '.join(sorted(unknown))}")
    found = [run(names, options.tests) for names in runs]
    print("| variation | tests | seconds |\n| --- | --- | --- |")
    print("\n".join(row for _, row in found))
    sys.exit(not all(passed for passed, _ in found))


if __name__ == "__main__":
    main()
