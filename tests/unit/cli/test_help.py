"""Help, version, names that are not there, and terminals of all kinds."""

import io
import sys
from pathlib import Path

import pytest

from sweep import __version__
from sweep.cli.app import execute
from tests.command import Command, run_here

SWEEP = {
    "name": "one",
    "trainer": "sweep.testing:instant_trainer",
    "search": {"epochs": 2, "space": {"lr0": [0.1, 0.01]}},
}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Usage: sweep [OPTIONS] COMMAND"),
        (("-h",), "Usage: sweep [OPTIONS] COMMAND"),
        (("--help",), "--install-completion"),
        (("db",), "Usage: sweep db [OPTIONS] COMMAND"),
        (("db", "-h"), "Usage: sweep db [OPTIONS] COMMAND"),
        (("status", "-h"), "Usage: sweep status [OPTIONS]"),
        (("report", "-h"), "[default: (reports/NAME)]"),
        (("prepare", "-h"), "[default: (prepared)]"),
        (("--version",), f"detsweep {__version__}\n"),
    ],
)
def test_help_is_no_error(
    arguments: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    done = run_here(*arguments)
    assert (done.code, done.err) == (0, "")
    assert says in done.out


def test_completion_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("typer._completion_shared._get_shell_name", lambda: "bash")
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: "bash")
    done = run_here("--install-completion")
    assert done.code == 0, done
    assert "_SWEEP_COMPLETE" in next(tmp_path.rglob("*sweep*.sh")).read_text()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("stauts",), "No such command 'stauts'; did you mean 'status'? allowed: best, "),
        (("db", "chek"), "No such command 'chek'; did you mean 'check'? allowed: check, upgrade"),
        (
            ("status", "--jsn"),
            "No such option: --jsn (Possible options: --json); see `sweep status",
        ),
        (("submit",), "Missing argument 'FILE'; see `sweep submit --help`"),
        (("worker", "--workers", "{0}[red]"), "'--workers': found {0}[red], allowed is a whole"),
        (("worker", "--workers", "0"), "'--workers': found 0, allowed is 1 or more"),
        (("dashboard", "--port", "70000"), "'--port': found 70000, allowed is 65535 or less"),
        (("worker", "--log-level", "loud"), "'loud' is not one of 'debug', 'info', 'warning'"),
        (("status", "a", "me:s3cret@host"), "extra argument(s) (me:***@host)"),
    ],
)
def test_what_is_not_there_is_one_line_with_the_nearest(
    arguments: tuple[str, ...], line: str
) -> None:
    done = run_here(*arguments)
    assert done.code == 2
    assert line in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("columns", ["0", "1", "20"])
def test_a_narrow_terminal_still_shows_what_there_is(
    columns: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_here("submit", Command(tmp_path).write("one.yaml", SWEEP)).code == 0
    monkeypatch.setenv("COLUMNS", columns)
    for arguments in (("status",), ("status", "one"), ("status", "one", "--trials")):
        done = run_here(*arguments)
        assert done.code == 0
        assert "one" in done.out
    assert run_here("--help").code == 0


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_cannot_be_encoded_is_escaped(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stdout = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    monkeypatch.setattr(sys, "stdout", stdout)
    sweep = SWEEP | {"search": {"epochs": 1, "space": {"note": ["über…", "[/red]{x}"]}}}
    file = Command(tmp_path).write("one.yaml", sweep)
    assert execute(["submit", str(file)]) == 0
    assert execute(["status", "one"]) == 0
    assert execute(["--help"]) == 0
    assert b"one: active" in stdout.buffer.getvalue()  # type: ignore[attr-defined]
