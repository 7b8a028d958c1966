"""The version of our tables in a database, told and brought up to date."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, inspect, text

from storage.engine import reading, writing
from storage.errors import DatabaseRefused
from storage.tables import VERSION_TABLE, metadata

HEAD = "0002"
"""The revision this program works with."""

_OPTUNA = frozenset({"studies", "trials", "version_info"})
"""Some of Optuna's tables: sweeps may be put into a database that holds studies already."""
_LOCK = 0x53574545  # any number, so long as all of us take the same


@dataclass(frozen=True, kw_only=True)
class Schema:
    """How a database's tables stand to this program."""

    found: str | None
    """Revision of the database; None where it has none of our tables."""
    known: bool
    """Whether this program knows the revision: a later program's it does not."""
    others: tuple[str, ...] = ()
    """Tables of another program, where the database has none of ours and none of Optuna's."""

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
        others = () if names >= _OPTUNA else tuple(sorted(names))
        return Schema(found=None, known=True, others=others)
    return Schema(found=found, known=found == HEAD or found in _revisions())


def require(engine: Engine) -> None:
    """Refuse a database without our tables, and tables of another version.

    Raises:
        DatabaseRefused: If the tables are missing, older or newer than this program, or not ours.
    """
    found = look(engine)
    if found.found is None:
        what = f"tables of another program ({_listed(found)})" if found.others else "no sweeps"
        raise DatabaseRefused(
            f"--storage: {engine.url.database} holds {what}; name the database of your sweeps "
            "(or set SWEEP_STORAGE), or submit one first"
        )
    if not found.known:
        raise _newer(found)
    if not found.current:
        raise DatabaseRefused(
            f"--storage: the tables have revision {found.found}, this program needs {HEAD}; "
            "stop all workers, keep a copy of the database, then run `sweep db upgrade`"
        )


def refuse_others(engine: Engine) -> Schema:
    """Refuse an SQLite file of another program; return how the tables of any other stand.

    A PostgreSQL database may serve several programs.

    Raises:
        DatabaseRefused: If it is one.
    """
    found = look(engine)
    if found.others and engine.dialect.name == "sqlite":
        raise DatabaseRefused(
            f"--storage: {engine.url.database} is a database of another program "
            f"(tables {_listed(found)}); name another file"
        )
    return found


def _listed(found: Schema) -> str:
    return ", ".join(found.others[:3]) + (", …" if len(found.others) > 3 else "")


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
