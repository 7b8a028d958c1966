"""A database whose answer to a commit is lost: it has committed, and nobody is told so."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Engine


class Commits:
    """The commits of an engine, counted from 0."""

    def __init__(self) -> None:
        self.count = 0
        self.lost: int | None = None
        """The one whose answer is lost; None for none."""


@contextmanager
def losing(engine: Engine, commit: int | None) -> Iterator[Commits]:
    """Lose the answer to this commit of an engine, and break the connection."""
    commits = Commits()
    answer = engine.dialect.do_commit

    def commit_and_break(connection: Any) -> None:
        answer(connection)
        commits.count += 1
        if commits.count - 1 == commit:
            commits.lost = commit
            raise _broken(connection)

    engine.dialect.do_commit = commit_and_break  # type: ignore[method-assign]
    try:
        yield commits
    finally:
        engine.dialect.do_commit = answer  # type: ignore[method-assign]


def _broken(connection: Any) -> Exception:
    """Return what a broken connection raises; on PostgreSQL it is broken."""
    if isinstance(connection.dbapi_connection, sqlite3.Connection):
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        return error
    connection.dbapi_connection.close()
    return psycopg.OperationalError("server closed the connection unexpectedly")
