"""The queue of budgeted trials: every slot reaches one final state, once.

Each change is one conditional statement that checks who owns the slot (`attempt`, the fencing
token) and uses the database's clock.
"""

import time
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy import Engine, bindparam, select

from storage.engine import reading, writing
from storage.errors import LeaseLost, RowUnreadable
from storage.process_identity import ProcessIdentity
from storage.queue import attempts, claiming, epochs, leases, settling
from storage.queue.claiming import Claimant
from storage.queue.epochs import Standing
from storage.queue.kinds import KindWatch
from storage.queue.leases import LEASE_S, Lease
from storage.queue.settling import Settled
from storage.queue.takeover import LeaseWatch
from storage.states import SlotState, SweepState
from storage.tables import sweeps

_STATE = select(sweeps.c.state).where(sweeps.c.id == bindparam("of_sweep"))


class Queue:
    """One process's access to the queue.

    Args:
        engine: That of a `storage.database.Database`.
        clock: Monotonic seconds; only for how long this process has watched what others should do.
    """

    renewal_s = LEASE_S / 3
    """How often a lease should be renewed, in seconds."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._watch = LeaseWatch(self.renewal_s, clock)
        self._kinds = KindWatch(clock)
        self._unanswered: str | None = None
        """Token of a claim that may have been committed."""
        self._unreadable: dict[int, RowUnreadable] = {}
        """Slots that were found so, which others go before."""

    def claim(
        self,
        worker: str,
        owner: ProcessIdentity,
        *,
        names: Collection[str] = (),
        device_kind: str | None = None,
    ) -> Lease | None:
        """Claim the next slot of the active sweeps, or of those named; None when there is none.

        Queued slots by the sweeps' priority and age. When none is left, and now and then before,
        running ones whose owner is dead or has let its lease run out: those were begun first, and
        a sampler or pruner should hear of them in their turn. They may be of cancelled sweeps,
        which come to their end so.

        A slot that was begun on another kind of device comes last, when no worker of that kind
        will take it; it must begin anew then. A claim that got no answer is made again by the
        next call: that one returns the slot which it took.

        Args:
            worker: Who claims.
            owner: The worker's process.
            names: Sweeps to look at; all when empty.
            device_kind: What the worker trains on; None to take slots of any kind.

        Raises:
            RowUnreadable: If a slot, or a stage, cannot be read, and no other slot is to be had.
        """
        while True:
            again = self._unanswered
            token = self._unanswered = again or uuid.uuid4().hex
            claimant = Claimant(worker=worker, owner=owner, device_kind=device_kind, token=token)
            try:
                lease = self._claimed(claimant, names, again=again is not None)
            except RowUnreadable as error:
                self._unanswered = None  # nothing was committed
                if error.row is None or error.row in self._unreadable:
                    raise
                self._unreadable[error.row] = error
                continue
            self._unanswered = None
            if lease is None and self._unreadable:
                found, self._unreadable = self._unreadable, {}  # somebody may mend them
                raise next(iter(found.values()))
            return lease

    def _claimed(self, claimant: Claimant, names: Collection[str], *, again: bool) -> Lease | None:
        with writing(self._engine) as connection:
            if again and (lease := claiming.held(connection, claimant)) is not None:
                return lease
            return claiming.claim(
                connection, claimant, names, self._watch, self._kinds, without=self._unreadable
            )

    def renew(self, lease: Lease) -> None:
        """Prolong the lease.

        Raises:
            LeaseLost: If another worker holds the slot now.
        """
        with writing(self._engine) as connection:
            leases.renew(connection, lease)

    def record_trial(
        self, lease: Lease, *, trial_id: int, number: int, params: Mapping[str, Any]
    ) -> None:
        """Note the Optuna trial made for the slot and the settings its sampler chose.

        Raises:
            LeaseLost: If another worker holds the slot now.
        """
        with writing(self._engine) as connection:
            leases.write_under(
                connection, lease, trial_id=trial_id, trial_number=number, params=dict(params)
            )

    def record_epoch(
        self, lease: Lease, *, epoch: int, map50: float, map50_95: float, report: Mapping[str, Any]
    ) -> Standing:
        """Commit an epoch; learn what was decided on it before and whether the sweep goes on.

        An epoch that an earlier attempt committed stays as it is: the same job gives the same
        numbers, and what was decided on them holds.

        Raises:
            LeaseLost: If another worker holds the slot now.
        """
        with writing(self._engine) as connection:
            leases.renew(connection, lease, device_kind=lease.device_kind)
            return epochs.record(
                connection, lease.slot, epoch=epoch, map50=map50, map50_95=map50_95, report=report
            )

    def begin_anew(self, lease: Lease) -> None:
        """Let the slot's epochs count from this attempt on, which cannot go on from those before.

        Their epochs are dropped as a whole, and the slot's trial is to be made again.

        Raises:
            LeaseLost: If another worker holds the slot now.
        """
        with writing(self._engine) as connection:
            epochs.begin_anew(connection, lease)

    def record_decision(self, lease: Lease, *, epoch: int, decision: str) -> None:
        """Commit what was decided after an epoch.

        Raises:
            LeaseLost: If another worker holds the slot now.
        """
        with writing(self._engine) as connection:
            leases.renew(connection, lease)
            epochs.decide(connection, lease.slot, epoch=epoch, decision=decision)

    def sweep_state(self, lease: Lease) -> SweepState:
        """Read whether the lease's sweep goes on.

        Raises:
            LeaseLost: If the sweep was deleted, or is being deleted.
        """
        with reading(self._engine) as connection:
            of = {"of_sweep": lease.slot.sweep_id}
            state = connection.execute(_STATE, of).scalar_one_or_none()
        if state in (None, SweepState.DELETING):
            raise LeaseLost(f"slot {lease.slot.id}: its sweep was deleted")
        return SweepState(state)

    def settle(
        self,
        lease: Lease,
        state: SlotState,
        *,
        result: Mapping[str, Any] | None = None,
        value: float | None = None,
        failure_kind: str | None = None,
        message: str | None = None,
    ) -> Settled:
        """Put the slot into its final state; `value` is the result's objective.

        Raises:
            LeaseLost: If another worker holds the slot now.
        """
        with writing(self._engine) as connection:
            return settling.settle(
                connection,
                lease,
                state=state,
                result=None if result is None else dict(result),
                value=value,
                failure_kind=failure_kind,
                message=message,
            )

    def fail(
        self,
        lease: Lease,
        kind: str,
        message: str,
        *,
        retries: int = 0,
        counted: Collection[str] = (),
    ) -> Settled | None:
        """Fail the slot, or give it back while it has retries left; None if it was given back.

        A slot with retries left ends as cancelled where its sweep was.

        Args:
            lease: The right to the slot.
            kind: Why the attempt failed.
            message: The same for the user, one line.
            retries: How many attempts may fail so before the slot does.
            counted: The kinds that share these retries; `kind` alone when empty.

        Raises:
            LeaseLost: If another worker holds the slot now.
        """
        with writing(self._engine) as connection:
            failed = attempts.count(
                connection, lease.slot.id, counted or [kind], before=lease.attempt
            )
            if failed < retries:
                return settling.release(connection, lease, kind, message)
            return settling.settle(
                connection, lease, state=SlotState.FAILED, failure_kind=kind, message=message
            )

    def release(self, lease: Lease, reason: str, message: str | None = None) -> Settled | None:
        """Give the slot back, to be claimed again; `reason` is one word, kept with the attempt.

        Returns:
            The slot where its sweep was cancelled, so that it ended instead; else None.

        Raises:
            LeaseLost: If another worker holds the slot now.
        """
        with writing(self._engine) as connection:
            return settling.release(connection, lease, reason, message)

    def unclosed(self) -> list[str]:
        """List the sweeps with settled slots that Optuna was not told of."""
        with reading(self._engine) as connection:
            return settling.unclosed(connection)

    def unprojected(
        self, *, names: Collection[str] = (), unreadable: list[str] | None = None
    ) -> list[Settled]:
        """List settled slots that Optuna was not told of, with no live owner to do it.

        Those that cannot be read are left out, and told of in `unreadable`.
        """
        with reading(self._engine) as connection:
            return settling.unprojected(connection, names, [] if unreadable is None else unreadable)

    def close(self, settled: Settled) -> None:
        """Note that Optuna was told of a settled slot, unless there is more to tell by now."""
        with writing(self._engine) as connection:
            settling.close(connection, settled)
