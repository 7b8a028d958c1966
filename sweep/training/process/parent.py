"""Ending with the process that started this one, however that ends."""

import ctypes
import os
import signal
import sys


def set_parent_death_signal(number: signal.Signals, parent: int | None) -> bool:
    """Have the kernel send this process a signal when its parent ends; on Linux only.

    Args:
        number: The signal.
        parent: Process id of the parent.

    Returns:
        Whether the parent lives; if it ended before this call, no signal comes.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG of linux/prctl.h
    return os.getppid() == parent
