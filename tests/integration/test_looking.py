"""Looking at a database changes nothing in it, whatever it is: every command, every kind of file.

The commands run in this process: what they write, and with which exit code, is the same there.
"""

import gc
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from sweep import cli
from sweep.cli import inspect

pytestmark = pytest.mark.slow

CONTENT: dict[str, Any] = {
    "name": "one",
    "trainer": "sweep.testing:instant_trainer",
    "search": {"epochs": 2, "space": {"lr0": [0.1, 0.01]}},
}
NOBODY = 65534
ENDS = {"dashboard": 130}
"""Exit codes of commands that end well otherwise than with 0: the dashboard ends with Ctrl-C."""

LOOKING = [
    ("status",),
    ("status", "one"),
    ("status", "--json"),
    ("watch", "one"),
    ("report", "one"),
    ("export", "one"),
    ("dashboard",),
    ("pause", "one"),
    ("resume", "one"),
    ("cancel", "one"),
    ("retrain", "one"),
    ("worker",),
    ("worker", "one", "--drain"),
]
"""Every command but those that may make tables, and `db check`, which says that there are none."""


def empty(file: Path) -> None:
    file.touch()


def text(file: Path) -> None:
    file.write_text("no database " * 1000)


def directory(file: Path) -> None:
    file.mkdir()


def of_another_program(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.execute("INSERT INTO bookmarks VALUES ('here')")
    connection.close()


def of_another_program_in_wal_mode(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()


def with_our_names(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE sweeps (id INTEGER, other TEXT)")
    connection.close()


def of_optuna_alone(file: Path) -> None:
    optuna.create_study(storage=f"sqlite:///{file}", study_name="theirs")


FOREIGN: list[tuple[Callable[[Path], None], str]] = [
    (empty, "sweep.db holds no sweeps; name the database"),
    (text, "sweep.db cannot be opened (file is not a database)"),
    (directory, "sweep.db is a folder; name a file in it"),
    (of_another_program, "sweep.db holds tables of another program (bookmarks)"),
    (of_another_program_in_wal_mode, "sweep.db holds tables of another program (bookmarks)"),
    (with_our_names, "a table 'sweeps' that is not this program's"),
    (of_optuna_alone, "sweep.db holds no sweeps; name the database"),
]
KINDS = [pytest.param(*case, id=case[0].__name__) for case in FOREIGN]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SWEEP_STORAGE", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(inspect, "WATCH_S", 0)
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(CONTENT))
    return tmp_path


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Return what runs `sweep` with these arguments and returns its exit code."""
    import optuna_dashboard

    monkeypatch.setattr(
        optuna_dashboard, "run_server", lambda storage, **_: storage.get_all_studies()
    )

    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["sweep", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        return code if isinstance(code, int) else 0

    return run


def content(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, byte for byte; of shared memory only that it is there."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        if path.is_file() and not path.name.endswith("-shm")
        else b""
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize(("make", "expected"), KINDS)
def test_what_is_no_database_of_sweeps_is_told_and_left_as_it_is(
    folder: Path,
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    make: Callable[[Path], None],
    expected: str,
) -> None:
    make(folder / "sweep.db")
    before = content(folder)
    for arguments in LOOKING:
        assert command(*arguments) == 2, arguments
        told = capsys.readouterr().err
        assert expected in told
        assert told.count("\n") == 1
        assert content(folder) == before, arguments


@pytest.mark.parametrize(("make", "code"), [(empty, 1), (of_another_program, 2), (text, 2)])
def test_checking_the_tables_leaves_the_file_as_it_is(
    folder: Path, command: Callable[..., int], make: Callable[[Path], None], code: int
) -> None:
    make(folder / "sweep.db")
    before = content(folder)
    assert command("db", "check") == code
    assert content(folder) == before


@pytest.mark.parametrize("arguments", [("submit", "one.yaml"), ("db", "upgrade")], ids=" ".join)
@pytest.mark.parametrize("make", [text, of_another_program, of_another_program_in_wal_mode])
def test_what_makes_tables_leaves_the_file_of_another_program_as_it_is(
    folder: Path,
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    make: Callable[[Path], None],
) -> None:
    make(folder / "sweep.db")
    before = content(folder)
    assert command(*arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert content(folder) == before


@pytest.mark.parametrize("make", [None, empty, of_optuna_alone])
def test_submit_makes_tables_where_there_are_none(
    folder: Path, command: Callable[..., int], make: Callable[[Path], None] | None
) -> None:
    if make is not None:
        make(folder / "sweep.db")
    assert command("submit", "one.yaml") == 0
    assert command("status", "one") == 0


def test_a_log_of_another_program_is_left_as_it_is(
    folder: Path, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(folder / "sweep.db") as open_elsewhere:
        open_elsewhere.execute("PRAGMA journal_mode = WAL")
        open_elsewhere.execute("CREATE TABLE bookmarks (url TEXT)")
        open_elsewhere.commit()
        before = content(folder)
        assert before["sweep.db-wal"]
        assert command("status") == 2
        assert "another program (bookmarks)" in capsys.readouterr().err
        assert content(folder) == before
    open_elsewhere.close()


LOOKS = [
    ("status",),
    ("status", "one", "--json"),
    ("watch", "one"),
    ("report", "one", "--out", "out"),
    ("export", "one", "--out", "out"),
    ("dashboard",),
]


@pytest.fixture
def ours(folder: Path, command: Callable[..., int]) -> Path:
    """A folder with a database of one cancelled sweep, so that `watch` ends."""
    assert command("submit", "one.yaml") == 0
    assert command("cancel", "one") == 0
    gc.collect()  # closes the database, as the end of a process does
    return folder


def test_a_database_of_ours_is_left_as_it_is(ours: Path, command: Callable[..., int]) -> None:
    before = content(ours)
    for arguments in LOOKS:
        assert command(*arguments) == ENDS.get(arguments[0], 0)
        gc.collect()
        assert {name: content(ours)[name] for name in before} == before, arguments
    assert not list(ours.glob("sweep.db-*"))


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder that this process may not write to: root would be refused nothing."""
    outside = Path(tempfile.mkdtemp())
    yield outside
    os.seteuid(os.getuid())
    outside.chmod(0o755)
    shutil.rmtree(outside)


@pytest.mark.parametrize("in_use", [False, True], ids=["at rest", "in use"])
def test_what_may_only_be_read_can_be_looked_at(
    ours: Path,
    unprivileged: Path,
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    in_use: bool,
) -> None:
    file = unprivileged / "sweep.db"
    shutil.copy(ours / "sweep.db", file)
    writer = sqlite3.connect(file)
    if in_use:
        writer.execute("UPDATE sweeps SET priority = 3")
        writer.commit()
    for path in unprivileged.iterdir():
        path.chmod(0o444)
    unprivileged.chmod(0o555)
    for arguments in LOOKS:  # after this everything is imported
        assert command(*arguments) == ENDS.get(arguments[0], 0)
    shutil.rmtree(ours / "out")
    ours.chmod(0o777)
    if os.getuid() == 0:
        shared = Path(tempfile.gettempdir())
        for above in ours.parents:
            if above != shared and above.is_relative_to(shared):
                above.chmod(0o755)
        os.seteuid(NOBODY)
    before = content(unprivileged)
    for arguments in LOOKS:
        code = command(*arguments, "--storage", f"sqlite:///{file}")
        assert code == ENDS.get(arguments[0], 0), capsys.readouterr().err
    assert content(unprivileged) == before
    os.seteuid(os.getuid())
    writer.close()
