"""Who a process is, so that another on the same host can tell whether it is dead for certain."""

import os
import socket
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil


@dataclass(frozen=True, kw_only=True)
class ProcessIdentity:
    """One process among all that ever ran; a process id alone comes round again."""

    host: str
    boot_id: str
    pid_namespace: str
    pid: int
    started_at: float
    """When the process started, in the kernel's own count where it has one: unlike the wall clock
    that one never jumps."""

    @classmethod
    def current(cls) -> "ProcessIdentity":
        """Describe this process."""
        return cls(
            host=socket.gethostname(),
            boot_id=_boot_id(),
            pid_namespace=_pid_namespace(),
            pid=os.getpid(),
            started_at=_started_at(psutil.Process()),
        )

    @property
    def machine(self) -> str:
        """The running system the process ids of which can be told apart from here."""
        return f"{self.boot_id} {self.pid_namespace}"

    def provably_dead(self) -> bool:
        """Whether the process ran here and is gone; False when that cannot be known."""
        if self.machine != f"{_boot_id()} {_pid_namespace()}":
            return False  # another machine may have the same host name; nothing else is proof
        try:
            process = psutil.Process(self.pid)
            same = abs(_started_at(process) - self.started_at) < 1.0
            return not same or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


def _started_at(process: psutil.Process) -> float:
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_text()
    except OSError:
        return process.create_time()  # another system than Linux, or the process is gone
    # Field 22 of proc(5), in clock ticks since the boot; the name in field 2 may hold anything.
    return int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # another system than Linux
        return f"{uuid.getnode():x} {psutil.boot_time():.0f}"


@cache
def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - the link's text, no path
    except OSError:
        return ""
