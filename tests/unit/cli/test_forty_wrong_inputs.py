"""Wrong input to every command: one line, exit code 2, and nothing of the folder has changed."""

import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import run_here

SPLIT = {"train": 0.5, "val": 0.25, "test": 0.25}
INSTANT = {
    "name": "one",
    "trainer": "sweep.testing:instant_trainer",
    "search": {"epochs": 2, "space": {"lr0": [0.1, 0.01]}},
}
SHAPES = {
    "name": "shapes",
    "source": {"synthetic": "shapes", "images": 12},
    "size": 64,
    "split": SPLIT,
}
FILES: dict[str, Any] = {
    "one.yaml": INSTANT,
    "changed.yaml": INSTANT | {"seed": 3},
    "typo.yaml": INSTANT | {"serach": {}},
    "braces.yaml": INSTANT | {"[red]{x}[/red]": 1},
    "trainer.yaml": INSTANT | {"trainer": "no_such_module:train"},
    "dataset.yaml": {
        "name": "d",
        "dataset": "none.yaml",
        "train": {"optimizer": "SGD"},
        "search": INSTANT["search"],
    },
    "shapes.yaml": SHAPES,
    "ratios.yaml": SHAPES | {"split": SPLIT | {"train": 0.9}},
    "source.yaml": SHAPES | {"source": {"coco": "none.json", "images": "images"}},
}
TEXTS = {"text.txt": "no database " * 100, "empty.yaml": "", "list.yaml": "- 1", "cut.yaml": "a: ["}

# The words of a command line, and a part of its line.
WRONG = [
    ("run none.yaml", "none.yaml: no such file"),
    ("run typo.yaml", "serach: unknown key; did you mean 'search'?"),
    ("run braces.yaml", "[red]{x}[/red]: unknown key"),
    ("run trainer.yaml", "trainer 'no_such_module:train'"),
    ("run changed.yaml", "seed: 0 -> 3"),
    ("run folder", "folder: is a folder"),
    ("run one.yaml --device gpu", "--device 'gpu'"),
    ("run one.yaml --workers many", "found many, allowed is a whole number"),
    ("run one.yaml --storage sqlite:///text.txt", "text.txt cannot be opened"),
    ("worker two", "no sweep 'two' in this database; there are: one"),
    ("worker --per-gpu 0", "--per-gpu is 0"),
    ("worker one --log-file folder", "--log-file folder: cannot be written"),
    ("worker one --workers 2 --log-file text.txt/a.log", "text.txt/a.log: cannot be written"),
    ("worker --log-level loud", "'loud' is not one of"),
    ("retrain one", "no trial of the search has completed"),
    ("retrain two", "no sweep 'two'"),
    ("retrain one --epochs 0", "found 0, allowed is 1 or more"),
    ("retrain one --epochs 99999999999", "allowed is 2147483647 or less"),
    ("validate empty.yaml", "empty.yaml: "),
    ("validate list.yaml", "list.yaml: "),
    ("validate cut.yaml", "cut.yaml: "),
    ("validate dataset.yaml", "none.yaml does not exist"),
    ("prepare ratios.yaml", "split: train 0.9"),
    ("prepare source.yaml", "none.json"),
    ("prepare shapes.yaml --out text.txt", "--out text.txt: is a file; name a folder"),
    ("submit changed.yaml", "was submitted with other settings: seed: 0 -> 3"),
    ("submit one.yaml --priority high", "found high, allowed is a whole number"),
    ("submit one.yaml --priority 99999999999", "allowed is 2147483647 or less"),
    ("status two", "no sweep 'two'"),
    ("status --trials", "--trials: name a sweep"),
    ("status --storage sqlite:///none.db", "none.db does not exist"),
    ("status --storage sqlite:///sweep.db?mode=ro", "takes no arguments, found 'mode'"),
    ("status --storage postgresql://me:a@b@127.0.0.1/x", "write %40 for @"),
    ("status --storage postgresql://me:pw@127.0.0.1:port/x", "the port"),
    ("status --storage mysql://me:pw@127.0.0.1/x", "mysql cannot keep the queue's promises"),
    ("status --storage postgresql+psycopg2://127.0.0.1/x", "write postgresql://"),
    ("status \udcff", "NAME: found '\\udcff', which is not UTF-8"),
    ("worker one \udcff", "which is not UTF-8"),
    ("report one --out loop", "links lead in a circle"),
    ("watch two", "no sweep 'two'"),
    ("watch", "Missing argument 'NAME'"),
    ("report two", "no sweep 'two'"),
    ("report one --out text.txt", "--out text.txt: is a file; name a folder"),
    ("report one --out text.txt/below", "--out text.txt/below: "),
    ("export one --out text.txt", "--out text.txt: is a file; name a folder"),
    ("export one two", "unexpected extra argument(s) (two)"),
    ("dashboard --port PORT", "cannot listen there (Address already in use"),
    ("dashboard --host no-such-host.invalid", "--host no-such-host.invalid --port 8080: cannot"),
    ("dashboard --host \udcff", "--host \\udcff --port 8080: cannot"),
    ("dashboard --port 0", "found 0, allowed is 1 or more"),
    ("pause two", "no sweep 'two'"),
    ("resume two", "no sweep 'two'"),
    ("cancel two", "no sweep 'two'"),
    ("db check --storage sqlite:///none.db", "none.db does not exist"),
    ("db upgrade --storage sqlite:///text.txt", "text.txt cannot be opened"),
    ("stauts", "did you mean 'status'?"),
    ("status --jsn", "No such option: --jsn (Possible options: --json)"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SWEEP_STORAGE", raising=False)
    for name, content in FILES.items():
        Path(name).write_text(yaml.safe_dump(content))
    for name, text in TEXTS.items():
        Path(name).write_text(text)
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")
    assert run_here("submit", "one.yaml").code == 0
    return tmp_path


def everything(folder: Path) -> dict[str, Any]:
    """Read all files; of the database its rows, for SQLite moves bytes when connections close."""

    def content(path: Path) -> Any:
        if path.name != "sweep.db":
            return path.read_bytes() if path.is_file() else None
        with closing(sqlite3.connect(path)) as connection:
            return list(connection.iterdump())

    return {
        str(path.relative_to(folder)): content(path)
        for path in sorted(folder.rglob("*"))
        if not path.name.endswith(("-wal", "-shm"))
    }


def test_wrong_input_is_one_line_and_leaves_all_as_it_was(folder: Path) -> None:
    before, wrong = everything(folder), []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for line, says in WRONG:
            words = line.replace("PORT", str(taken.getsockname()[1])).split()
            refused = run_here(*words)
            one_line = (refused.code, refused.err.count("\n")) == (2, 1)
            if not one_line or says not in refused.err or "pw" in refused.err:
                wrong.append((line, refused))
            assert everything(folder) == before, line
    assert wrong == []


def test_something_else_at_the_default_place_is_one_line(folder: Path) -> None:
    (folder / "reports").write_text("a file")
    for command in ("report", "export"):
        refused = run_here(command, "one")
        assert (refused.code, refused.err.count("\n")) == (2, 1), refused
        assert "reports" in refused.err


def test_a_sweep_is_refused_in_a_folder_whose_name_no_database_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SWEEP_STORAGE", raising=False)
    odd = tmp_path / "\udcff"
    odd.mkdir()
    monkeypatch.chdir(odd)
    Path("one.yaml").write_text(yaml.safe_dump(FILES["one.yaml"]))
    for command in ("validate", "submit", "run"):
        refused = run_here(command, "one.yaml")
        assert (refused.code, refused.err.count("\n")) == (2, 1), refused
        assert "\\udcff/runs has a name that is not UTF-8" in refused.err
    assert [path.name for path in odd.iterdir()] == ["one.yaml"]
    assert run_here("db", "upgrade").code == 0
    looked = run_here("status")
    assert (looked.code, looked.err) == (0, "")
