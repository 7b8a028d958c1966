"""A worker: claims slots, has their trials trained, settles them, opens the next stage.

This is the supervisor. It talks to the database and never imports torch; the trainings run in
child processes that never see the database.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Collection

from storage import failpoints
from storage.database import Database
from storage.errors import DatabaseGone, LeaseLost, StudyNotOurs
from storage.process_identity import ProcessIdentity
from storage.queue import sweeps, workers
from storage.queue.leases import Lease
from storage.queue.settling import Settled
from storage.queue.sweeps import Submission
from sweep.errors import SweepError
from sweep.spec.sweep_file import SweepSpec
from sweep.training.contract import Device, FailureKind
from sweep.training.process import forkserver
from sweep.training.process.plain import text
from sweep.worker.attempt import Attempt
from sweep.worker.disk import await_room
from sweep.worker.lease_keeper import LeaseKeeper
from sweep.worker.outcome import NOT_HERE
from sweep.worker.readiness import NoRoom, Readiness
from sweep.worker.retry import Retry
from sweep.worker.shutdown import NAP_S, Shutdown
from sweep.worker.starting import Starting
from sweep.worker.stumbles import Stumbles
from sweep.worker.upkeep import Upkeep

IDLE_S = (0.1, 1.0)
"""How long an idle worker waits before it looks again: a quarter of the time it has been idle, but
at least and at most these, so that it sees soon that the trials it waits for have ended."""
_LOOKS_PER_S = 50.0
"""How often the idle workers of a database look together at most: of many, each does so less."""
_LIVE_S = 120.0
"""A worker that was seen within this time counts among them."""

_GIVEN_BACK = 3
"""How often a slot that this program stumbles over is given back before it fails."""

log = logging.getLogger(__name__)


class Worker:
    """One worker on one device share.

    Args:
        database: Where the sweeps are.
        device: The share of a device to train on.
        names: Sweeps to serve; all active ones when empty.
        drain: Whether to leave when the sweeps to serve are done, or none of the others can be
            served here, instead of waiting.
        shutdown: Whether this process was told to leave.
    """

    def __init__(
        self,
        database: Database,
        *,
        device: Device,
        names: Collection[str] = (),
        drain: bool = False,
        shutdown: Shutdown,
    ) -> None:
        self._database = database
        self._device = device
        self._names = tuple(names)
        self._drain = drain
        self._shutdown = shutdown
        self._retry = Retry(shutdown)
        self._host = socket.gethostname()
        self._identity = ProcessIdentity.current()
        self._id = f"{self._host}-{os.getpid()}-{device}"
        self._readiness = Readiness(database, device)
        self._upkeep = Upkeep(database, self._readiness)
        self._stumbles = Stumbles()
        self._starting = Starting(database, self._readiness, shutdown)
        self._keeper = LeaseKeeper(database.renewing, renewal_s=database.queue.renewal_s)
        self._idle_since: float | None = None

    def run(self) -> None:
        """Serve until told to leave, or until nothing is left where `drain` is set.

        Raises:
            SweepError: If sweeps are left that cannot be served here, and `drain` is set.
        """
        try:
            lacking = self._serve_all()
            if not lacking:
                told = self._shutdown.requested
                log.info("leaving: %s", "told to" if told else "nothing is left to do")
            self._retry(lambda: workers.gone(self._database.engine, self._id))
        except DatabaseGone:
            log.warning("leaving while the database is away; what is left goes on elsewhere")
            return
        if lacking:
            raise SweepError(f"leaving, and the queue stays as it is: {'; '.join(lacking)}")

    def _serve_all(self) -> list[str]:
        """Serve; return what keeps this worker from what is left."""
        for name in self._retry(lambda: self._readiness.usable(self._to_serve()))[:1]:
            self._for(name, lambda name: forkserver.warm_up(self._readiness.read(name)[1].trainer))
        for name in self._retry(self._to_serve):
            self._for(name, self._upkeep.restore, leave=False)
        self._mend(leave=False)
        while not self._shutdown.requested:
            lease = self._retry(self._claim)
            self._note(lease)
            if lease is not None:
                self._serve(lease)
                self._idle_since = None
                continue
            self._mend()
            if self._drain:
                lacks = {name: self._lack(name) for name in self._retry(self._to_serve)}
                lacking = all(lack and not isinstance(lack, NoRoom) for lack in lacks.values())
                if lacking and lacks.keys() == set(self._retry(self._to_serve)):  # none is deleted
                    return [f"{name}: {lack}" for name, lack in lacks.items()]
            self._idle()
        return []

    def _read(self, name: str) -> tuple[Submission, SweepSpec]:
        return self._retry(lambda: self._readiness.read(name))

    def _lack(self, name: str) -> SweepError | None:
        return self._retry(lambda: self._readiness.lack(name))

    def _idle(self) -> None:
        others = self._retry(lambda: workers.count(self._database.engine, seen_within_s=_LIVE_S))
        self._database.rest()
        now = time.monotonic()
        if self._idle_since is None:
            self._idle_since = now
            log.info("no trial to take now; waiting")
        shortest, longest = IDLE_S
        pause_s = min(max((now - self._idle_since) / 4, shortest), longest)
        until = now + max(pause_s, others / _LOOKS_PER_S)
        while not self._shutdown.requested and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, NAP_S))

    def _claim(self) -> Lease | None:
        usable = self._starting.usable(self._readiness.usable(self._to_serve()))
        lease = self._claim_from([*usable, *self._named(sweeps.ending(self._database.engine))])
        failpoints.reached(failpoints.CLAIMED)
        return lease

    def _note(self, lease: Lease | None) -> None:
        """Note that this worker is there, and the slot it is at."""
        self._retry(
            lambda: workers.seen(
                self._database.engine,
                self._id,
                host=self._host,
                device=str(self._device),
                slot=None if lease is None else lease.slot.id,
            )
        )

    def _claim_from(self, names: list[str]) -> Lease | None:
        if not names:  # to the queue, no name means all sweeps
            return None
        queue = self._database.queue
        try:
            # Again at once where no answer came: the slot may be this worker's already.
            return self._retry(
                lambda: queue.claim(
                    self._id, self._identity, names=names, device_kind=self._device.kind
                )
            )
        except DatabaseGone:
            raise
        except Exception as error:
            if len(names) == 1:
                self._readiness.set_aside(names[0], error)
                return None
            found = (self._claim_from([name]) for name in names)  # one of them cannot be read
            return next((lease for lease in found if lease is not None), None)

    def _serve(self, lease: Lease) -> None:
        try:
            with self._keeper.keeping(lease):
                settled = self._attempt(lease)
        except DatabaseGone:
            raise
        except LeaseLost as lost:
            log.warning("%s; dropped", lost)
            self._for(lease.slot.sweep, lambda _: self._upkeep.drop(lease))
            return
        except Exception as error:
            if self._stumbles.are_the_sweeps(lease.slot, error):
                self._readiness.set_aside(lease.slot.sweep, error)
            settled = self._give_back(lease, error)
        else:
            self._stumbles.over(lease.slot.sweep)
        if settled is None:
            self._for(lease.slot.sweep, self._await_room)
            return
        self._readiness.served(lease.slot.sweep)
        self._for(lease.slot.sweep, lambda _: self._upkeep.close(settled), leave=False)
        self._for(lease.slot.sweep, self._upkeep.advance)

    def _attempt(self, lease: Lease) -> Settled | None:
        _, spec = self._read(lease.slot.sweep)
        attempt = Attempt(
            self._database,
            self._readiness.for_training(lease.slot.sweep),
            spec,
            lease,
            device=self._device,
            shutdown=self._shutdown,
            retry=self._retry,
            readiness=self._readiness,
            keeper=self._keeper,
        )
        return attempt.run()

    def _give_back(self, lease: Lease, error: Exception) -> Settled | None:
        """Give back the slot of a sweep that something is wrong with; None if it was.

        Where it is the slot that is wrong, it fails in the end, lest it stand before the others
        for ever.
        """
        queue, message = self._database.queue, text(f"{type(error).__name__}: {error}")
        log.warning("%s slot %d: %s", lease.slot.study, lease.slot.ordinal, message)
        log.debug("%s", lease.slot.study, exc_info=error)

        def end() -> Settled | None:
            if isinstance(error, StudyNotOurs | SweepError):
                return queue.release(lease, NOT_HERE, message)
            return queue.fail(lease, FailureKind.CRASHED, message, retries=_GIVEN_BACK)

        try:
            return self._retry(end)
        except LeaseLost:
            return None
        except DatabaseGone:
            raise
        except Exception as again:  # its lease runs out, and whoever takes it over may end it
            self._readiness.set_aside(lease.slot.sweep, again)
            return None

    def _await_room(self, name: str) -> None:
        runs = self._readiness.for_training(name).runs
        self._database.rest()
        await_room(runs, self._shutdown)

    def _mend(self, *, leave: bool = True) -> None:
        """Finish what workers left behind that died between two steps after a training."""
        for name in self._named(self._retry(self._database.queue.unclosed)):
            self._for(name, self._upkeep.close_all, leave=leave)
        ended = self._named(self._retry(lambda: sweeps.ended(self._database.engine)))
        for name in [*self._retry(self._to_serve), *ended]:
            self._for(name, self._upkeep.advance)
        self._upkeep.tidy()

    def _for(self, name: str, keep_up: Callable[[str], None], *, leave: bool = True) -> None:
        """Do something for a sweep; what is wrong with it keeps this worker from no other.

        Args:
            name: The sweep.
            keep_up: What to do.
            leave: Whether to leave the sweep alone for a while where that fails. Where only one of
                its slots may be wrong, the others come first.
        """
        if self._readiness.faulty(name):
            return
        try:
            self._retry(lambda: keep_up(name))
        except DatabaseGone:
            raise
        except Exception as error:
            if leave:
                self._readiness.set_aside(name, error)
            else:
                log.debug("%s: left for later", name, exc_info=error)

    def _to_serve(self) -> list[str]:
        return self._named(sweeps.active(self._database.engine))

    def _named(self, names: list[str]) -> list[str]:
        return [name for name in names if not self._names or name in self._names]
