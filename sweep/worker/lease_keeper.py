"""Renewing the lease of the slot at hand beside all else that a worker does."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storage.database import Database
from storage.errors import DatabaseGone, LeaseLost
from storage.queue.leases import LEASE_S, Lease

log = logging.getLogger(__name__)


class LeaseKeeper:
    """Renews one lease at a time, in a thread and on a connection of its own.

    Whatever the main thread waits for meanwhile (an epoch's statements, a process that starts, a
    file), the lease does not run out by it.

    Args:
        open_database: Opens the database for the renewals alone; called when the first is due.
        renewal_s: How often to renew.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        open_database: Callable[[], Database],
        *,
        renewal_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_database = open_database
        self._renewal_s = renewal_s
        self._clock = clock
        self._database: Database | None = None
        self._held: _Held | None = None
        self._thread: threading.Thread | None = None

    @contextmanager
    def keeping(self, lease: Lease) -> Iterator[None]:
        """Renew a lease in this block; after it a renewal under way may still end."""
        self._held = _Held(lease, next_s=self._clock() + self._renewal_s, until_s=self._clock())
        self._held.until_s += LEASE_S
        self._start(self._held)
        try:
            yield
        finally:
            self._held.over.set()
            self._held = self._thread = None

    def check(self) -> None:
        """Look whether all is well with the lease at hand; starts a thread that died again.

        Raises:
            LeaseLost: If another worker holds the slot now.
        """
        held, thread = self._held, self._thread
        if held is None or thread is None:
            return
        if held.lost is not None:
            raise held.lost
        if not thread.is_alive():
            log.error("%s: the thread that renews its lease died; another goes on", held.name)
            self._start(held)

    def _start(self, held: "_Held") -> None:
        self._thread = threading.Thread(
            target=self._keep, args=(held,), name="lease keeper", daemon=True
        )
        self._thread.start()

    def _keep(self, held: "_Held") -> None:
        # Else a signal might wake this thread instead of the main one, which sleeps on.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while not held.over.wait(max(0.0, held.next_s - self._clock())):
            if self._clock() >= held.next_s and not self.renew_now(held):
                return

    def renew_now(self, held: "_Held") -> bool:
        """Renew a lease; return whether it is still to be kept."""
        try:
            if self._database is None:
                self._database = self._open_database()
            self._database.queue.renew(held.lease)
        except LeaseLost as lost:  # or the slot has just been settled, and nobody asks any more
            held.lost = lost
            return False
        except Exception as error:  # this must go on, whatever it is
            self._note(held, error)
            held.next_s = self._clock() + self._renewal_s / 4
        else:
            if held.failed:
                log.info("%s: its lease is renewed again", held.name)
            held.failed = False
            held.renewed(self._clock(), self._renewal_s)
        finally:
            if self._database is not None:
                self._database.rest()
        return True

    def _note(self, held: "_Held", error: Exception) -> None:
        if held.failed or held.over.is_set():
            return
        held.failed = True
        why = str(error) if isinstance(error, DatabaseGone) else f"{type(error).__name__}: {error}"
        left_s = max(0.0, held.until_s - self._clock())
        log.warning(
            "%s: its lease cannot be renewed, and others may take it over in %.0f s (%s)",
            *(held.name, left_s, why),
        )


class _Held:
    """A lease that is kept."""

    def __init__(self, lease: Lease, *, next_s: float, until_s: float) -> None:
        self.lease = lease
        self.name = f"{lease.slot.study} slot {lease.slot.ordinal}"
        self.next_s = next_s
        """When to renew it."""
        self.until_s = until_s
        """Until when it holds."""
        self.failed = False
        """Whether the last renewal failed."""
        self.lost: LeaseLost | None = None
        self.over = threading.Event()

    def renewed(self, now_s: float, renewal_s: float) -> None:
        """Note that it holds anew."""
        self.next_s, self.until_s = now_s + renewal_s, now_s + LEASE_S
