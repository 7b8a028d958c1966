"""Bugs to plant, each one change of the product's text that a tired person could make."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Bug:
    """A bug, and where to plant it."""

    name: str
    module: str
    before: str
    """Text that is there once."""
    after: str
    database: str = "sqlite"
    """Where it shows: SQLite's transactions that write exclude each other."""


BUGS = (
    # Claiming.
    Bug(
        name="a late worker writes: its attempt is not checked",
        module="storage.queue.leases",
        before='    slots.c.attempt == bindparam("of_attempt"),\n'
        '    slots.c.worker == bindparam("of_worker"),  '
        "# SQLite gives a deleted slot's id to another one\n",
        after='    bindparam("of_attempt") == bindparam("of_attempt"),\n'
        '    bindparam("of_worker") == bindparam("of_worker"),\n',
    ),
    Bug(
        name="a lease is never renewed",
        module="storage.queue.leases",
        before='_RENEW = _HELD.values(lease_until=now_s() + bindparam("for_s"',
        after='_RENEW = _HELD.values(lease_until=slots.c.lease_until + 0 * bindparam("for_s"',
    ),
    Bug(
        name="a slot queued again goes on from its old checkpoint",
        module="storage.queue.claiming",
        before="since = 0 if first else attempts.last_retry(connection, slot.id)",
        after="since = 0",
    ),
    Bug(
        name="a claim without an answer is not made again, but another",
        module="storage.queue.queue",
        before="token = self._unanswered = again or uuid.uuid4().hex",
        after="token = self._unanswered = uuid.uuid4().hex",
    ),
    Bug(
        name="a slot begun on another kind of device goes on as if on this",
        module="storage.queue.claiming",
        before="anew = not claimant.fits(slot.device_kind)",
        after="anew = False",
    ),
    Bug(
        name="two transactions decide by the state of a sweep at once",
        module="storage.queue.locks",
        before="    .with_for_update()\n",
        after="",
        database="postgresql",
    ),
    # Takeover.
    Bug(
        name="an attempt that was lost gets no ending",
        module="storage.queue.attempts",
        before="    if attempt > 1:\n",
        after="    if attempt > 2:\n",
    ),
    Bug(
        name="what ran in a cancelled sweep is not taken over",
        module="storage.queue.claiming",
        before="_open_stages([SweepState.ACTIVE, SweepState.CANCELLED], ",
        after="_open_stages([SweepState.ACTIVE], ",
    ),
    Bug(
        name="an expired lease is taken over at the first sight",
        module="storage.queue.takeover",
        before="return row.expired and self._clock() - self._expired_since[_lease(row)] >= "
        "self._grace_s",
        after="return bool(row.expired)",
    ),
    # Settling.
    Bug(
        name="a settled slot is not marked as untold",
        module="storage.queue.settling",
        before="finished_at=now_s(), unprojected=True, **values",
        after="finished_at=now_s(), **values",
    ),
    Bug(
        name="an attempt that gave its slot back gets no ending",
        module="storage.queue.settling",
        before="    attempts.end(connection, lease.slot.id, lease.attempt, reason, message)\n",
        after="",
    ),
    Bug(
        name="what a dead worker settled is told by nobody",
        module="storage.queue.settling",
        before="if row.owner is None or row.expired or provably_dead(row.owner)",
        after="if row.owner is None",
    ),
    Bug(
        name="a slot given back does not ask whether its sweep was cancelled",
        module="storage.queue.settling",
        before="    if state is SweepState.CANCELLED:\n",
        after="    if state is SweepState.DONE:\n",
    ),
    Bug(
        name="one retry too many",
        module="storage.queue.queue",
        before="            if failed < retries:\n",
        after="            if failed <= retries:\n",
    ),
    Bug(
        name="a slot is closed before Optuna is told",
        module="sweep.worker.upkeep",
        before="        stored = read_epochs(self._database.engine, slot.id)\n",
        after="        self._database.queue.close(settled)\n"
        "        stored = read_epochs(self._database.engine, slot.id)\n",
    ),
    # Stages.
    Bug(
        name="a stage is done before Optuna is told of its slots",
        module="storage.queue.stages",
        before="        slots.c.unprojected,\n",
        after="",
    ),
    Bug(
        name="a stage is opened twice",
        module="storage.queue.stages",
        before=".where(stages.c.id == stage_id, stages.c.state == StageState.WAITING)",
        after=".where(stages.c.id == stage_id)",
    ),
    Bug(
        name="a sweep is done while a stage waits",
        module="storage.queue.stages",
        before="stages.c.sweep_id == sweeps.c.id, _NOT_DONE)",
        after="stages.c.sweep_id == sweeps.c.id, stages.c.state == StageState.OPEN)",
    ),
    Bug(
        name="Optuna is not told of slots that were cancelled in the queue",
        module="storage.queue.commands",
        before="unprojected=slots.c.trial_id.is_not(None)",
        after="unprojected=False",
    ),
    # Epochs.
    Bug(
        name="a decision is written to the epochs before, too",
        module="storage.queue.epochs",
        before="_DECIDE = update(epochs).where(*_THIS)",
        after='_DECIDE = update(epochs).where(_THIS[0], epochs.c.epoch <= bindparam("number"))',
    ),
    Bug(
        name="the last epoch kept in an outage is not read",
        module="sweep.worker.pending_epochs",
        before='text.split("\\n")[:-1]',
        after='text.split("\\n")[:-2]',
    ),
    Bug(
        name="epochs kept in an outage are not committed",
        module="sweep.worker.epoch_log",
        before="                    self._uncommitted[epoch] = report\n",
        after="",
    ),
    Bug(
        name="an epoch that an outage met is not kept",
        module="sweep.worker.epoch_log",
        before="            pending_epochs.keep(self._run_folder, report)\n",
        after="            pass\n",
    ),
    Bug(
        name="an epoch is forgotten when its commit fails",
        module="sweep.worker.epoch_log",
        before="            self._retry.note(gone)\n            if not self._keep",
        after="            self._retry.note(gone)\n            self._uncommitted.clear()\n"
        "            if not self._keep",
    ),
    Bug(
        name="the epochs of the attempts before stay when a slot begins anew",
        module="storage.queue.epochs",
        before="    connection.execute(delete(epochs).where(epochs.c.slot_id == lease.slot.id))\n",
        after="",
    ),
    Bug(
        name="a decision whose storing was not answered is made again",
        module="sweep.worker.epoch_log",
        before="self._decided.get(on.epoch) or self._ask_pruner(on.epoch)",
        after="self._ask_pruner(on.epoch)",
    ),
    # Projection.
    Bug(
        name="Optuna does not get the epochs that it lacks",
        module="storage.optuna.studies",
        before="for epoch in values.keys() - trial.intermediate_values.keys():",
        after="for epoch in ():",
    ),
    Bug(
        name="Optuna gets the wrong metric",
        module="storage.optuna.studies",
        before="value = settled.result[objective]",
        after='value = settled.result["map50"]',
    ),
    Bug(
        name="strays go on for ever",
        module="storage.optuna.studies",
        before="self.supersede(private.id_of(trial), by=numbers[slot])",
        after="pass",
    ),
    Bug(
        name="trials are numbered as workers come",
        module="storage.queue.trials",
        before='slots.c.ordinal <= bindparam("to_ordinal")',
        after='slots.c.ordinal == bindparam("to_ordinal")',
    ),
    Bug(
        name="a cancelled slot is pruned in Optuna",
        module="storage.optuna.studies",
        before="    SlotState.CANCELLED: TrialState.FAIL,\n",
        after="    SlotState.CANCELLED: TrialState.PRUNED,\n",
    ),
)
