"""The attack by hand: `python -m tests.crash --times 50 sqlite postgresql`."""

import argparse
import tempfile
import time
from pathlib import Path

from tests.crash.attack import attack
from tests.postgres import Postgres


def main() -> None:
    """Attack each kind of database several times; say how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("databases", nargs="+", choices=["sqlite", "postgresql"])
    parser.add_argument("--first", type=int, default=0, help="The first seed.")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--budget", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=40)
    options = parser.parse_args()
    server = Postgres() if "postgresql" in options.databases else None
    if server is not None:
        server.start()
    try:
        for seed in range(options.first, options.first + options.times):
            for database in options.databases:
                with tempfile.TemporaryDirectory() as folder:
                    url = f"sqlite:///{folder}/sweep.db"
                    if database == "postgresql" and server is not None:
                        url = server.create_database(f"attack_{seed}")
                    began = time.monotonic()
                    lost = attack(
                        url,
                        Path(folder),
                        processes=options.processes,
                        budget=options.budget,
                        kills=options.kills,
                        seed=seed,
                    )
                    seconds = time.monotonic() - began
                    print(f"{database} {seed}: right, {lost} lost, {seconds:.0f} s", flush=True)
    finally:
        if server is not None:
            server.remove()


if __name__ == "__main__":
    main()
