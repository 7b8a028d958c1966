"""What can go wrong in `storage`, and what the caller should do about it."""


class StorageError(Exception):
    """Root of all errors of this package."""


class DatabaseRefused(StorageError):
    """The URL or the database behind it cannot serve: show the line to the user, exit code 2."""


class DatabaseUnusable(DatabaseRefused):
    """The database answers and says no: damaged, without our tables, or not ours to write to."""


class DatabaseGone(StorageError):
    """The database does not answer now: try the same call again later; it harms nothing."""


class SweepExists(StorageError):
    """Another sweep has this name: the user picks another name, or puts the old file back."""


class SweepNotFound(StorageError):
    """No sweep of this name: the message lists those there are."""


class CommandRefused(StorageError):
    """The sweep is past the point where this command means anything: show the line to the user."""


class StudyNotOurs(StorageError):
    """A study of a stage's name is another program's: nothing is written to it."""


class TrialGone(StorageError):
    """A study or trial was deleted from Optuna's tables: make it again from ours, then repeat."""


class LeaseLost(StorageError):
    """Another worker holds the slot now: drop the work quietly; nothing of it may be written."""


class RowUnreadable(StorageError):
    """A row holds what none of our programs writes: tell of it, and go on with the others.

    Args:
        message: Which row, which column, and what was found there.
        row: Id of the slot, where the row is a slot's.
    """

    def __init__(self, message: str, *, row: int | None) -> None:
        super().__init__(message)
        self.row = row
