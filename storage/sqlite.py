"""SQLite files that are only looked at: nothing is written to them, and nothing beside them."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote


def connect_to_look(file: Path, *, own_table: str, timeout_s: float) -> sqlite3.Connection:
    """Open a file that is there so that it stays as it is, byte for byte.

    SQLite makes a log and shared memory beside a file in WAL mode whoever opens it, and leaves them
    there where the file was opened for reading. So a file that nobody else has open is taken as one
    that does not change, unless it is ours: then a process may start to write to it at any moment,
    and the locks are needed. See https://www.sqlite.org/wal.html#read_only_databases.

    Args:
        file: The file.
        own_table: A table that only our databases have.
        timeout_s: How long to wait for a lock.

    Raises:
        sqlite3.Error: If the file cannot be opened, or is no database.
    """
    if _log(file).exists():
        return _connect(file, "mode=ro", timeout_s)
    connection = _connect(file, "mode=ro&immutable=1", timeout_s)
    try:
        ours = _has_table(connection, own_table)
    except BaseException:
        connection.close()
        raise
    if not ours or not writable(file):
        return connection
    connection.close()
    connection = _connect(file, "mode=rw", timeout_s)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _connect(file: Path, options: str, timeout_s: float) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(os.fsencode(file.resolve()))}?{options}",
        uri=True,
        timeout=timeout_s,
        check_same_thread=False,  # SQLAlchemy's pool hands a connection to one thread at a time
    )


def _log(file: Path) -> Path:
    file = file.resolve()
    return file.with_name(f"{file.name}-wal")


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(query, (name,)).fetchone() is not None


def writable(file: Path) -> bool:
    """Whether this process may write to a file and, as SQLite must, beside it."""
    both = (file, file.resolve().parent)
    effective = os.access in os.supports_effective_ids
    return all(os.access(path, os.W_OK, effective_ids=effective) for path in both)


@contextmanager
def locked_folder(file: str | None) -> Iterator[bool]:
    """Hold a lock on a database file's folder; gives whether it is held. It leaves no file behind.

    An SQLite file lies on a local disk, so all that work with it are on this host.
    """
    if not file:  # in memory
        yield True
        return
    folder = os.open(Path(file).resolve().parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
    finally:
        os.close(folder)


def is_busy(error: BaseException | None) -> bool:
    """Whether an error says that others hold the lock."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_BUSY
