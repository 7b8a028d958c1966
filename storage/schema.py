"""The version of our tables in a database, told and brought up to date."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, inspect, text

from storage.engine import reading, writing
from storage.errors import DatabaseRefused
from storage.tables import VERSION_TABLE, metadata

HEAD = "0001"
"""The revision this program works with."""

_LOCK = 0x53574545  # any number, so long as all of us take the same


@dataclass(frozen=True, kw_only=True)
class Schema:
    """How a database's tables stand to this program."""

    found: str | None
    """Revision of the database; None where it has none of our tables."""
    known: bool
    """Whether this program knows the revision: a later program's it does not."""

    @property
    def current(self) -> bool:
        """Whether this program can work with it as it is."""
        return self.found == HEAD


def look(engine: Engine) -> Schema:
    """Read the database's revision.

    Raises:
        DatabaseRefused: If it has tables of our names that are not ours.
    """
    with reading(engine) as connection:
        return _look(connection)


def _look(connection: Connection) -> Schema:
    # One query tells all names: with one for the version and one for the rest, another process
    # may make the tables in between, and they would look like somebody else's.
    names = set(inspect(connection).get_table_names())
    version = text(f"SELECT version_num FROM {VERSION_TABLE}")
    found = connection.scalar(version) if VERSION_TABLE in names else None
    if found is None:
        theirs = sorted(names & set(metadata.tables))
        if theirs:
            raise DatabaseRefused(
                f"--storage: the database has a table {theirs[0]!r} that is not this program's; "
                "name another database"
            )
        return Schema(found=None, known=True)
    return Schema(found=found, known=found == HEAD or found in _revisions())


def require(engine: Engine) -> None:
    """Make the tables where there are none, and refuse those of another version.

    Raises:
        DatabaseRefused: If the tables are older or newer than this program, or not ours.
    """
    found = look(engine)
    if found.found is None:
        upgrade(engine)
    elif not found.known:
        raise _newer(found)
    elif not found.current:
        raise DatabaseRefused(
            f"--storage: the tables have revision {found.found}, this program needs {HEAD}; "
            "stop all workers, keep a copy of the database, then run `sweep db upgrade`"
        )


def upgrade(engine: Engine) -> None:
    """Bring the tables to `HEAD`, in one transaction that keeps other processes waiting.

    Raises:
        DatabaseRefused: If the tables are newer than this program, or not ours.
    """
    from alembic import command

    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":  # SQLite's writer holds the whole database
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = _look(connection)
        if found.current:
            return  # another process was faster
        if not found.known:
            raise _newer(found)
        config = _alembic()
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)


def _newer(found: Schema) -> DatabaseRefused:
    return DatabaseRefused(
        f"--storage: the tables have revision {found.found}, made by a newer version of this "
        f"program than the one here, which knows {HEAD}; upgrade it"
    )


def _revisions() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions()}


def _alembic() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).parent / "migrations").replace("%", "%%")
    )
    return config
