"""Whether a training would begin at once: no slot's lease runs while torch is loaded."""

from storage.database import Database
from storage.errors import SweepNotFound
from sweep.training.process import forkserver
from sweep.worker.places import NotHere
from sweep.worker.readiness import Readiness
from sweep.worker.shutdown import Shutdown


class Starting:
    """Looks after the server that this worker's trainings are forked from.

    Args:
        database: Let go while the server is waited for.
        readiness: Knows the sweeps, and is told where no training can begin.
        shutdown: Whether this process was told to leave.
    """

    def __init__(self, database: Database, readiness: Readiness, shutdown: Shutdown) -> None:
        self._database = database
        self._readiness = readiness
        self._shutdown = shutdown
        self._server = forkserver.Readiness()

    def usable(self, names: list[str]) -> list[str]:
        """Return these sweeps once a training of theirs would begin at once; else none.

        Raises:
            DatabaseGone: If the database does not answer.
        """
        if not names:
            return []
        try:
            trainer = self._readiness.read(names[0])[1].trainer
        except SweepNotFound:  # deleted just now
            return self.usable(names[1:])
        try:
            if self._server.ready(trainer):
                return names
            self._database.rest()
            there = self._server.wait(trainer, lambda: self._shutdown.requested)
        except (OSError, EOFError) as error:
            lack = f"no training process can be started ({type(error).__name__}: {error})"
            for name in names:
                self._readiness.set_aside(name, NotHere(lack))
            return []
        return names if there else []
