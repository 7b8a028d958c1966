"""`python -m sweep.cli` is the command `sweep`."""

from sweep.cli import main

main()
