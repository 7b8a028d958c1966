"""How commands end that went wrong: one line, the right code, nothing that should not be shown."""

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage.states import SweepState
from sweep.cli import endings, main
from sweep.cli.app import execute
from sweep.cli.endings import line_and_code
from sweep.errors import InputError, SweepError
from tests.command import Command, run_here


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (InputError("a: is wrong"), "a: is wrong", 2),
        (SweepError("it failed"), "it failed", 1),
        (endings.Interrupted("seen enough"), "seen enough", 130),
        (KeyboardInterrupt(), "interrupted; run again to continue", 130),
        (InputError("two\n  lines"), "two lines", 2),
        (InputError("{braces} [red]%s[/red]"), "{braces} [red]%s[/red]", 2),
        (InputError("\x1b[31m\udcff"), "\\x1b[31m\\udcff", 2),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/a"),
            "runs/a: No space left on device; make room and run again",
            1,
        ),
        (
            FileExistsError(errno.EEXIST, "File exists", "reports"),
            "reports: File exists; something else is there; move it away or name another",
            2,
        ),
    ],
)
def test_an_error_is_one_line_and_a_code(error: BaseException, line: str, code: int) -> None:
    assert line_and_code(error) == (line, code)


def raised(message: str) -> RuntimeError:
    with pytest.raises(RuntimeError) as found:
        raise RuntimeError(message)
    return found.value


def test_what_nobody_thought_of_is_one_line_that_says_where_the_log_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    line, code = line_and_code(raised("the store\nat postgresql://me:s3cret@host/db broke"))
    (log,) = tmp_path.iterdir()
    assert code == 1
    assert line == (
        "RuntimeError: the store at postgresql:***@host/db broke; "
        f"this should not happen, the traceback is in {log}"
    )
    assert "Traceback" in log.read_text()
    assert "s3cret" not in log.read_text()


def test_without_room_for_a_log_it_says_where_it_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/no/such/folder")
    line, _ = line_and_code(raised("broke"))
    assert line.startswith("RuntimeError: broke (test_endings.py:")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:s3cret@host/db", "postgresql:***@host/db"),
        ("('me:s3@cret@host')", "('me:***@host')"),
        ("postgresql://me:s3cret/db", "postgresql://me:***"),
        ("?password=s3cret&x=1", "?password=***&x=1"),
        ("postgresql://me:***@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/"),
        ("postgresql://USER:PASSWORD@HOST/NAME", "postgresql://USER:PASSWORD@HOST/NAME"),
    ],
)
def test_no_line_shows_a_password(text: str, shown: str) -> None:
    assert line_and_code(InputError(text))[0] == shown


def test_ctrl_c_while_the_commands_are_loaded_is_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupting:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "sweep.cli.app":
                raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.delitem(sys.modules, "sweep.cli.app")
    monkeypatch.delattr("sweep.cli.app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "sweep: interrupted\n"


def test_ctrl_c_ends_the_watching_and_not_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = Command(tmp_path)
    file = sweep.write("one.yaml", _SWEEP)
    assert run_here("submit", file).code == 0

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sweep.cli.inspect.time.sleep", interrupt)
    watched = run_here("watch", "one")
    assert (watched.code, watched.err) == (130, "sweep: watches no more; one is active as before\n")
    assert "one: active, no worker" in watched.out
    assert f"one: {SweepState.ACTIVE}" in run_here("status", "one").out


@pytest.mark.slow
@pytest.mark.parametrize("command", ["sweep status --json", "sweep status", "sweep --help"])
def test_nobody_who_reads_on_is_no_error(tmp_path: Path, command: str) -> None:
    Command(tmp_path).write("one.yaml", _SWEEP)
    script = (
        'sweep() { "$PYTHON" -m sweep.cli "$@"; }; sweep submit one.yaml >/dev/null;'
        f"{command} | true; {command} | head -1"
    )
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_below_standard_output_is_one_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert execute(["--version"]) == 1
    assert capfd.readouterr().err == "sweep: No space left on device; make room and run again\n"


_SWEEP = {
    "name": "one",
    "trainer": "sweep.testing:instant_trainer",
    "search": {"epochs": 2, "space": {"lr0": [0.1, 0.01]}},
}
