"""Where one attempt writes, and where those before it wrote."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from storage.queue.leases import Lease
from storage.queue.slots import Slot
from sweep import paths


@dataclass(frozen=True, kw_only=True)
class AttemptFolders:
    """The folders of one attempt at a slot."""

    own: Path
    """Written by this attempt, and no other."""
    earlier: tuple[Path, ...]
    """Those of the attempts before it that it may go on from, newest first; only read."""


def run_folders(runs: Path, slot: Slot, number: int | None) -> paths.RunFolders:
    """Return the folders of a slot whose trial has this number in the study."""
    return paths.RunFolders(
        runs=runs,
        sweep=slot.sweep,
        stage=slot.stage,
        slot=slot.id,
        number=number,
        label=slot.label,
    )


def attempt_folders(runs: Path, lease: Lease, number: int) -> AttemptFolders:
    """Return an attempt's folders; makes that of its trial, which has this number in the study."""
    folders = run_folders(runs, lease.slot, number)
    with suppress(OSError):  # the training makes it too, and tells what is wrong with the disk
        folders.make()
    found = folders.all_attempts if lease.attempt > 1 else {}
    return AttemptFolders(
        own=folders.attempt(lease.attempt),
        earlier=tuple(
            found.get(attempt, folders.attempt(attempt))
            for attempt in range(lease.attempt - 1, lease.since, -1)
        ),
    )
