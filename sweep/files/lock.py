"""Locks between processes."""

from pathlib import Path

from filelock import UnixFileLock


def lock(path: Path) -> UnixFileLock:
    """Return a lock to hold as a context manager; waits without limit for who holds it.

    It ends with the process that holds it, however that dies: the kernel keeps it (flock), and
    filelock's substitute, a file that a killed process would leave behind, is ruled out.

    Args:
        path: Of the lock's file, which is made with its folder, left empty and never removed.
    """
    return UnixFileLock(path, fallback_to_soft=False, poll_interval=0.01)
