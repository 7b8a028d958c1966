"""A worker: claims slots, has their trials trained, settles them, opens the next stage.

This is the supervisor. It talks to the database and never imports torch; the trainings run in
child processes that never see the database.
"""

import logging
import os
import socket
import time
from collections.abc import Collection

from storage import failpoints
from storage.database import Database
from storage.errors import DatabaseGone, LeaseLost
from storage.process_identity import ProcessIdentity
from storage.queue import sweeps, workers
from storage.queue.leases import Lease
from storage.queue.settling import Settled
from storage.queue.stages import all_closed, finish_stages, open_stage, open_stages, trial_numbers
from storage.queue.sweeps import Submission
from storage.snapshot.reader import read_epochs, read_sweep
from storage.states import StageState
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.notes import how_it_ended, study_note
from sweep.stages.plan import kind_of
from sweep.training.contract import Device
from sweep.training.process.forkserver import warm_up
from sweep.worker.attempt import Attempt
from sweep.worker.best_files import write_best
from sweep.worker.disk import lacks_room
from sweep.worker.notes import note_of_settled
from sweep.worker.retry import Retry
from sweep.worker.run_folders import run_folders
from sweep.worker.shutdown import Shutdown

IDLE_S = (0.1, 1.0)
"""How long an idle worker waits before it looks again: a quarter of the time it has been idle, but
at least and at most these, so that it sees soon that the trials it waits for have ended."""
_LOOKS_PER_S = 50.0
"""How often the idle workers of a database look together at most: of many, each does so less."""
_LIVE_S = 120.0
"""A worker that was seen within this time counts among them."""
_ROOM_S = 10.0
"""How long a worker without room on its disk waits before it looks again."""

log = logging.getLogger(__name__)


class Worker:
    """One worker on one device share.

    Args:
        database: Where the sweeps are.
        device: The share of a device to train on.
        names: Sweeps to serve; all active ones when empty.
        drain: Whether to leave when the sweeps to serve are done, instead of waiting for more.
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
        self._sweeps: dict[str, tuple[Submission, SweepSpec]] = {}
        self._idle_since: float | None = None

    def run(self) -> None:
        """Serve until told to leave, or until nothing is left where `drain` is set."""
        try:
            self._serve_all()
            told = self._shutdown.requested
            log.info("leaving: %s", "told to" if told else "nothing is left to do")
            self._retry(lambda: workers.gone(self._database.engine, self._id))
        except DatabaseGone:
            log.warning("leaving while the database is away; what is left goes on elsewhere")

    def _serve_all(self) -> None:
        for name in self._retry(self._to_serve)[:1]:
            warm_up(self._sweep(name)[1].trainer)
        self._retry(self._mend)
        while not self._shutdown.requested:
            lease = self._retry(self._claim)
            if lease is not None:
                self._serve(lease)
                self._idle_since = None
                continue
            self._retry(self._mend)
            if self._drain and not self._retry(self._to_serve):
                return
            self._idle()

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
            time.sleep(min(left, longest))

    def _claim(self) -> Lease | None:
        lease = self._database.queue.claim(self._id, self._identity, names=self._names)
        failpoints.reached(failpoints.CLAIMED)
        workers.seen(
            self._database.engine,
            self._id,
            host=self._host,
            device=str(self._device),
            slot=None if lease is None else lease.slot.id,
        )
        return lease

    def _serve(self, lease: Lease) -> None:
        submission, spec = self._retry(lambda: self._sweep(lease.slot.sweep))
        attempt = Attempt(
            self._database,
            submission,
            spec,
            lease,
            device=self._device,
            shutdown=self._shutdown,
            retry=self._retry,
        )
        try:
            settled = attempt.run()
        except LeaseLost as lost:
            log.warning("%s; dropped", lost)
            self._retry(lambda: self._bury_strays(lease.slot.stage_id, lease.slot.study))
            return
        if settled is None:
            self._await_room(submission)
            return
        self._retry(lambda: self._close(settled))
        self._retry(lambda: self._advance(lease.slot.sweep))

    def _await_room(self, submission: Submission) -> None:
        self._database.rest()
        while not self._shutdown.requested and lacks_room(submission.runs):
            time.sleep(_ROOM_S)

    def _mend(self) -> None:
        """Finish what workers left behind that died between two steps after a training."""
        for settled in self._database.queue.unprojected(names=self._names):
            self._close(settled)
        for name in self._to_serve():
            self._advance(name)

    def _close(self, settled: Settled) -> None:
        slot = settled.slot
        submission, spec = self._sweep(slot.sweep)
        stored = read_epochs(self._database.engine, slot.id)
        self._database.studies.project(
            settled,
            objective=spec.objective,
            values={found.epoch: float(getattr(found, spec.objective)) for found in stored},
        )
        if slot.trial_id is not None and slot.trial_number is not None:
            note = note_of_settled(submission, settled)
            self._database.studies.note_trial(slot.study, slot.trial_id, slot.trial_number, note)
        failpoints.reached(failpoints.TOLD)
        self._database.queue.close(settled)
        failpoints.reached(failpoints.CLOSED)
        run_folders(submission.runs, slot, slot.trial_number).remove_checkpoints()

    def _advance(self, name: str) -> None:
        """Finish the stages that are done and open those whose turn has come."""
        engine = self._database.engine
        for stage_id, study in open_stages(engine, name):
            if all_closed(engine, stage_id):
                self._bury_strays(stage_id, study)
                self._hand_over(name, stage_id)
        while (waiting := finish_stages(engine, name)) is not None:
            _, spec = self._sweep(name)
            found = read_sweep(engine, name).stages
            before = [stage for stage in found if stage.state is StageState.DONE]
            open_stage(engine, waiting.id, kind_of(waiting.name).slots(spec, before))

    def _hand_over(self, name: str, stage_id: int) -> None:
        """Tell what a stage came to; before the sweep is done, for nobody looks after it then."""
        write_best(self._database.engine, name)
        submission, spec = self._sweep(name)
        stages = read_sweep(self._database.engine, name).stages
        over = next(stage for stage in stages if stage.id == stage_id)
        state = how_it_ended(spec, over)
        kind = kind_of(over.name)
        note = study_note(spec, submission.runs, over.name, kind, state=state)
        self._database.studies.note(over.study, note)

    def _bury_strays(self, stage_id: int, study: str) -> None:
        """End the trials that a late worker made for slots which others had taken over."""
        if all_closed(self._database.engine, stage_id):
            numbers = trial_numbers(self._database.engine, stage_id)
            self._database.studies.bury_strays(study, numbers)

    def _to_serve(self) -> list[str]:
        active = sweeps.active(self._database.engine)
        return [name for name in active if not self._names or name in self._names]

    def _sweep(self, name: str) -> tuple[Submission, SweepSpec]:
        if name not in self._sweeps:
            submission = sweeps.get(self._database.engine, name)
            self._sweeps[name] = submission, SweepSpec.model_validate(submission.spec)
        return self._sweeps[name]
