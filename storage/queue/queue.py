"""The queue of budgeted trials: every slot reaches one final state, once.

Each change is one conditional statement that checks who owns the slot (`attempt`, the fencing
token) and uses the database's clock.
"""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sqlalchemy import Engine, select

from storage.engine import now_s, reading, writing
from storage.process_identity import ProcessIdentity
from storage.queue import attempts, claiming, epochs, leases, settling
from storage.queue.epochs import Standing
from storage.queue.leases import LEASE_S, Lease
from storage.queue.settling import Settled
from storage.queue.takeover import LeaseWatch
from storage.states import SlotState, SweepState
from storage.tables import sweeps


class Queue:
    """One process's access to the queue.

    Args:
        engine: That of a `storage.database.Database`.
        clock: Monotonic seconds; only for how long this process has watched an expired lease.
    """

    renewal_s = LEASE_S / 3
    """How often a lease should be renewed, in seconds."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._watch = LeaseWatch(self.renewal_s, clock)

    def claim(
        self, worker: str, owner: ProcessIdentity, *, names: Collection[str] = ()
    ) -> Lease | None:
        """Claim the next slot of the active sweeps, or of those named; None when there is none.

        Queued slots by the sweeps' priority and age. When none is left, and now and then before,
        running ones whose owner is dead or has let its lease run out: those were begun first, and
        a sampler or pruner should hear of them in their turn. They may be of cancelled sweeps,
        which come to their end so.
        """
        with writing(self._engine) as connection:
            return claiming.claim(connection, worker, owner, names, self._watch)

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
            leases.renew(connection, lease)
            return epochs.record(
                connection, lease.slot, epoch=epoch, map50=map50, map50_95=map50_95, report=report
            )

    def record_decision(self, lease: Lease, *, epoch: int, decision: str) -> None:
        """Commit what was decided after an epoch.

        Raises:
            LeaseLost: If another worker holds the slot now.
        """
        with writing(self._engine) as connection:
            leases.write_under(connection, lease, lease_until=now_s() + LEASE_S)
            epochs.decide(connection, lease.slot, epoch=epoch, decision=decision)

    def sweep_state(self, lease: Lease) -> SweepState:
        """Read whether the lease's sweep goes on."""
        with reading(self._engine) as connection:
            query = select(sweeps.c.state).where(sweeps.c.id == lease.slot.sweep_id)
            return SweepState(connection.execute(query).scalar_one())

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

    def unprojected(self, *, names: Collection[str] = ()) -> list[Settled]:
        """List settled slots that Optuna was not told of, with no live owner to do it."""
        with reading(self._engine) as connection:
            return settling.unprojected(connection, names)

    def close(self, settled: Settled) -> None:
        """Note that Optuna was told of a settled slot, unless there is more to tell by now."""
        with writing(self._engine) as connection:
            settling.close(connection, settled)
