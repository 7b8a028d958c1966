"""How long the commands that only look take, beside what they avoid importing.

    python bench/startup.py [--repeats 7]

Each command runs in a fresh process; the order is shuffled every round, so that a busy moment of
the machine hits all alike. Prints the median in seconds and the ratio to `import torch`.
"""

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SWEEP = """\
name: startup
trainer: sweep.testing:instant_trainer
search: {epochs: 1, space: {lr0: [0.1, 0.01]}}
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    cli = [sys.executable, "-m", "sweep.cli"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "startup.yaml").write_text(SWEEP)
        subprocess.run([*cli, "run", "startup.yaml"], cwd=folder, check=True, capture_output=True)
        commands = {
            "sweep --help": [*cli, "--help"],
            "sweep status": [*cli, "status", "startup"],
            "sweep run, all done": [*cli, "run", "startup.yaml"],
            "import optuna": [sys.executable, "-c", "import optuna"],
            "import torch": [sys.executable, "-c", "import torch"],
            "import ultralytics.engine.trainer": [
                sys.executable,
                "-c",
                "import ultralytics.engine.trainer",
            ],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repeats):
            for name in random.sample(list(commands), len(commands)):
                started = time.perf_counter()
                subprocess.run(commands[name], cwd=folder, check=True, capture_output=True)
                seconds[name].append(time.perf_counter() - started)
    torch = statistics.median(seconds["import torch"])
    print(f"median of {repeats}, seconds, and the ratio to `import torch`")
    for name, found in seconds.items():
        median = statistics.median(found)
        print(f"{name:36} {median:6.2f} {median / torch:6.2f}")


if __name__ == "__main__":
    main()
