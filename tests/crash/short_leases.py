"""The command `sweep` with leases as short as `SWEEP_TEST_LEASE_S` says, to test in seconds."""

import os

from storage.queue import leases

leases.LEASE_S = float(os.environ["SWEEP_TEST_LEASE_S"])  # before anything takes it from there

from sweep.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
