"""Which sweeps a worker can train a trial of, here and now: it looks before it claims.

What is wrong with the world, or with one sweep, is no trial's fault: the sweep's slots stay queued
for workers that can, and the worker serves other sweeps meanwhile.
"""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from storage.database import Database
from storage.errors import DatabaseGone
from storage.queue import sweeps
from storage.queue.stages import unfinished_stages
from storage.queue.sweeps import Submission, Sweep
from sweep.errors import InputError, SweepError
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.plan import kind_of
from sweep.training.contract import Device
from sweep.training.devices import visible_gpus
from sweep.worker import places
from sweep.worker.disk import looks_full, unwritable
from sweep.worker.faults import told
from sweep.worker.places import NotHere

FRESH_S = 5.0
"""For how long a look holds that found all there."""
AGAIN_S = (10.0, 300.0)
"""When a worker looks again at a sweep that it had to leave: at first, and at most; it doubles."""

log = logging.getLogger(__name__)


class NoRoom(NotHere):
    """The disk is full here: the only lack that a worker waits out even where it should leave."""


@dataclass(kw_only=True)
class _Standing:
    """How a sweep stands with this worker."""

    lack: SweepError | None = None
    """None where it can be worked on."""
    look_at_s: float = 0.0
    """When to look again, on the monotonic clock."""
    pause_s: float = field(default_factory=lambda: AGAIN_S[0])
    """How long the sweep is left the next time."""
    told: set[str] = field(default_factory=set)
    """Of what lacked, what was told since it could be worked on."""
    submission: Submission | None = None
    """As it is found from here."""


class Readiness:
    """What a worker knows of the sweeps that it might serve.

    Args:
        database: Where the sweeps are.
        device: What the worker trains on.
        clock: Monotonic seconds.
    """

    def __init__(
        self, database: Database, device: Device, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._device = device
        self._clock = clock
        self._here = places.standing(database.engine)
        self._read: dict[str, tuple[Sweep, SweepSpec]] = {}
        self._standing: dict[str, _Standing] = {}

    def usable(self, names: Collection[str]) -> list[str]:
        """Return those of these sweeps of which a trial could be trained here, in their order."""
        return [name for name in names if self.lack(name) is None]

    def lack(self, name: str) -> SweepError | None:
        """Return why no trial of a sweep can be trained here; None where it can.

        Raises:
            DatabaseGone: If the database does not answer.
        """
        standing = self._standing.setdefault(name, _Standing())
        if self._clock() >= standing.look_at_s:
            self._look(name, standing)
        return standing.lack

    def look_again(self, name: str) -> SweepError | None:
        """Look now, whatever was found before; after a training that failed."""
        standing = self._standing.setdefault(name, _Standing())
        if standing.lack is None:
            self._look(name, standing)
        return standing.lack

    def _look(self, name: str, standing: _Standing) -> None:
        try:
            submission, spec = self.read(name)
            for stage in unfinished_stages(self._database.engine, name):
                kind_of(stage)
            submission = places.for_training(submission, spec.trainer, self._here)
            self._check_room(submission)
            self._check_device()
        except DatabaseGone:
            raise
        except Exception as error:
            self.set_aside(name, error)
        else:
            if isinstance(standing.lack, NotHere):
                standing.told.clear()
                log.info("%s can be worked on here again", name)
            standing.lack, standing.submission = None, submission
            standing.look_at_s = self._clock() + FRESH_S

    def _check_room(self, submission: Submission) -> None:
        if looks_full(submission.runs):
            raise NoRoom(f"no room left below {submission.runs}")
        if (folder := unwritable(submission.runs)) is not None:
            raise NotHere(f"its trials write below {submission.runs}, and {folder} is read-only")

    def _check_device(self) -> None:
        if self._device.kind != "cuda":
            return
        if self._device.index not in [gpu.index for gpu in visible_gpus()]:
            raise NotHere(f"the GPU {self._device.index} is gone")

    def set_aside(self, name: str, why: Exception) -> None:
        """Leave a sweep for a while, longer each time; the reason is told once."""
        lack = why if isinstance(why, SweepError) else InputError(told(why))
        standing = self._standing.setdefault(name, _Standing())
        if str(lack) not in standing.told:
            standing.told.add(str(lack))
            log.warning("%s is left alone here: %s", name, lack)
            log.debug("%s", name, exc_info=why)
        standing.lack = lack
        standing.look_at_s = self._clock() + standing.pause_s
        standing.pause_s = min(2 * standing.pause_s, AGAIN_S[1])

    def faulty(self, name: str) -> bool:
        """Whether something is wrong with the sweep itself, and it is not yet time to try again."""
        standing = self._standing.get(name)
        return (
            standing is not None
            and standing.lack is not None
            and not isinstance(standing.lack, NotHere)
            and self._clock() < standing.look_at_s
        )

    def served(self, name: str) -> None:
        """Note that a trial of a sweep came to its end here."""
        standing = self._standing.setdefault(name, _Standing())
        standing.pause_s = AGAIN_S[0]
        standing.told.clear()

    def read(self, name: str) -> tuple[Submission, SweepSpec]:
        """Return a sweep as stored, but for where its trials write, and its parsed sweep file.

        Raises:
            SweepNotFound: If it was deleted.
            ValidationError: If the stored sweep file is not one of this version.
        """
        try:
            stored = sweeps.get(self._database.engine, name)
        except DatabaseGone:
            if name in self._read:
                return self._read[name]
            raise
        known = self._read.get(name)
        if known is None or not _same(known[0], stored):
            if known is not None:  # deleted since, and submitted again
                self._standing.pop(name, None)
                self._database.studies.forget()
            submission = replace(stored, runs=places.runs_folder(stored, self._here))
            self._read[name] = submission, SweepSpec.model_validate(submission.spec)
        return self._read[name]

    def for_training(self, name: str) -> Submission:
        """Return a sweep with its files as they were found from here, else as they are stored."""
        found = self._standing.setdefault(name, _Standing()).submission
        if found is None and name in self._read:
            return self._read[name][0]  # also of a sweep that was deleted meanwhile
        return found or self.read(name)[0]


def _same(known: Sweep, stored: Sweep) -> bool:
    """Whether a sweep is the one that was read before; another one may have its name, and its id.

    What cannot change is compared: a sweep's state and its priority do.
    """
    return (known.id, known.created_at) == (stored.id, stored.created_at)
