"""Our tables in a database: made once, told when they are another version's."""

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, inspect, text

from storage import schema
from storage.database import Database, upgrade
from storage.engine import connectable_engine, reading, writing
from storage.errors import DatabaseRefused
from storage.filesystems import network_file_system
from storage.process_identity import ProcessIdentity
from storage.tables import VERSION_TABLE, metadata
from tests.mounts import mount
from tests.submission import submit

PROCESSES = 4


def set_revision(engine: Engine, revision: str) -> None:
    with writing(engine) as connection:
        connection.execute(
            text(f"UPDATE {VERSION_TABLE} SET version_num = :revision"),
            {"revision": revision},
        )


def test_the_migrations_make_the_tables_that_the_program_knows(engine: Engine) -> None:
    def ours(_thing: object, name: str | None, kind: str, *_: object) -> bool:
        return kind != "table" or name in metadata.tables

    with reading(engine) as connection:
        options = {"version_table": VERSION_TABLE, "include_object": ours}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    assert schema.look(engine).current


def test_the_last_migration_is_the_version_this_program_works_with() -> None:
    migrations = Path(schema.__file__).parent / "migrations"
    assert ScriptDirectory(str(migrations)).get_current_head() == schema.HEAD


def test_a_newer_schema_is_told(engine: Engine, storage_url: str) -> None:
    set_revision(engine, "9999")
    with pytest.raises(DatabaseRefused, match="9999, made by a newer version"):
        Database.open(storage_url)
    with pytest.raises(DatabaseRefused, match="newer"):
        schema.upgrade(engine)


def test_an_older_schema_is_told_with_the_command(
    engine: Engine, storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "HEAD", "0099")
    with pytest.raises(DatabaseRefused, match=r"needs 0099; .* `sweep db upgrade`"):
        Database.open(storage_url)


def test_a_sweep_in_tables_of_the_first_version_goes_on_after_the_upgrade(storage_url: str) -> None:
    engine = connectable_engine(storage_url)
    with pytest.MonkeyPatch.context() as first_version:
        first_version.setattr(schema, "HEAD", "0001")
        schema.upgrade(engine)
    submit(engine, budget=2)
    dead = json.dumps(vars(replace(ProcessIdentity.current(), pid=2**22 + 1)))
    machine = ProcessIdentity.current().machine
    with writing(engine) as connection:
        connection.execute(
            text(
                "UPDATE slots SET state = 'running', attempt = 1, owner = :owner, "
                "owner_host = :machine, lease_until = 0, worker = 'w' WHERE ordinal = 0"
            ),
            {"owner": dead, "machine": machine},
        )
        connection.execute(
            text(
                "INSERT INTO attempts (slot_id, attempt, worker, started_at) VALUES (1, 1, 'w', 0)"
            )
        )
    upgrade(storage_url)
    queue = Database.open(storage_url).queue
    leases = [queue.claim("w", ProcessIdentity.current(), device_kind="cpu") for _ in range(2)]
    assert [(lease.slot.ordinal, lease.attempt, lease.anew) for lease in leases if lease] == [
        (0, 2, False),
        (1, 1, False),
    ]
    engine.dispose()


def test_tables_of_another_program_are_left_alone(engine: Engine, storage_url: str) -> None:
    with writing(engine) as connection:
        connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
    with pytest.raises(DatabaseRefused, match="is not this program's"):
        Database.open(storage_url)


def test_tables_that_appear_while_one_looks_are_not_taken_for_somebody_elses(
    storage_url: str,
) -> None:
    looking, making = connectable_engine(storage_url), connectable_engine(storage_url)
    with reading(looking) as connection:
        connection.execute(text("SELECT 1"))  # what a first connection asks is out of the way

    @event.listens_for(looking, "after_cursor_execute")
    def _another_process_is_faster(
        _connection: object, _cursor: object, sql: str, *_: object
    ) -> None:
        if not sql.startswith("BEGIN"):
            schema.upgrade(making)  # changes nothing the second time

    assert schema.look(looking).found is None
    assert schema.look(looking).current
    looking.dispose()
    making.dispose()


@pytest.mark.slow
def test_several_processes_starting_on_an_empty_database_all_work(storage_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(PROCESSES) as pool:
        made = pool.starmap(_make_study, [(storage_url, n) for n in range(PROCESSES)], chunksize=1)
    assert sorted(made) == [f"study-{n}" for n in range(PROCESSES)]
    engine = Database.open(storage_url).engine
    assert {*metadata.tables, "trials"} <= set(inspect(engine).get_table_names())
    with reading(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar_one() == 1
    engine.dispose()


def _make_study(url: str, number: int) -> str:
    name = f"study-{number}"
    Database.open(url).studies.ensure(name, metric="map50", attributes={})
    return name


MOUNTS = r"""
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/local ext4 rw 0 0
me@host: /home/local/far\040away fuse.sshfs rw 0 0
overlay /data overlay rw 0 0
//nas/share /data/share cifs rw 0 0
server:/twice /twice nfs rw 0 0
tmpfs /twice tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var", None),
        ("/home/me", "nfs4"),
        ("/home/local/me", None),
        ("/home/local/far away/x", "fuse.sshfs"),
        ("/data/x", None),
        ("/data/share", "cifs"),
        ("/twice/x", None),  # what was mounted there last
    ],
)
def test_a_network_file_system_is_known_by_its_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, kind: str | None
) -> None:
    mount(MOUNTS, tmp_path, monkeypatch)
    assert network_file_system(Path(path)) == kind


def test_sqlite_on_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount(f"server:/x {tmp_path} nfs rw 0 0", tmp_path, monkeypatch)
    with pytest.raises(DatabaseRefused, match=r"network file system \(nfs\)"):
        Database.open(f"sqlite:///{tmp_path / 'sweep.db'}")
