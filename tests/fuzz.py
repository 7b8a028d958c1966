"""Wrong arguments and files by the thousand: `python -m tests.fuzz --tries 10000 [--seed 1]`.

Every try is one command line in this process, in a folder with a sweep file, two dataset files,
images and a database, some of them spoilt. Nothing trains, serves or reaches a network. A try is a
fault when it ends in what nobody thought of, in more than one line for wrong input, or with the
password of a URL on the screen. The same seed makes the same tries.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import cv2
import numpy as np
import yaml

from storage.database import Database
from storage.queue.queue import Queue
from storage.states import SlotState
from sweep.cli import endings
from sweep.launch.local import LocalLauncher
from sweep.testing import made_up_epoch
from sweep.training.contract import TrialResult
from sweep.worker.serialization import to_json
from sweep.worker.worker import Worker
from tests.command import run_here
from tests.contracts.test_queue import claimed

SECRET = "s3cretw0rd"
_LONGEST_S = 60
_PROGRESS = "preparing the dataset: "
"""What `prepare --json` writes to standard error while it goes well."""

COMMANDS = [
    "run one.yaml",
    "run one.yaml --workers 2 --device cpu",
    "worker one --drain",
    "worker --workers 2 --log-file logs/a.log",
    "retrain one --epochs 3 --workers 1",
    "validate one.yaml",
    "validate one.yaml --json",
    "validate coco.yaml",
    "prepare shapes.yaml --out data",
    "prepare coco-data.yaml --out data --json",
    "prepare yolo-data.yaml --out data",
    "submit one.yaml --priority 3",
    "submit coco.yaml",
    "status",
    "status one",
    "status one --trials --json",
    "status --json",
    "watch one",
    "report one --out out",
    "export one --out out",
    "dashboard --port 8080 --host 127.0.0.1",
    "pause one",
    "resume one",
    "cancel one",
    "delete one --all",
    "db check",
    "db upgrade",
]
WORDS = [
    *("", "-", "--", "-h", "--help", "--version", "--json", "--out", "--trials", "--storage", "db"),
    *("one", "two", "oen", "ONE", "one.yaml", "none.yaml", "text.txt", "images", "sweep.db", "."),
    *("0", "-1", "1.5", "nan", "1e999", str(2**31), str(2**63), "9" * 30, "٣", "0x10"),
    *(
        "{}",
        "{0}",
        "{name!r}",
        "%s",
        "%(x)d",
        "[red]",
        "[/red]",
        "[bold",
        ":smile:",
        "\\",
        "'",
        '"',
    ),
    *("ü" * 3, "\u202e", "\x1b[31m", "a\nb", "\r", "\udcff", "\u2028", "x" * 300, "x" * 5000),
    *("~", "/dev/null", "/proc/self/mem", "a/b/c", "text.txt/below", "loop"),  # none to write to
]
URLS = [
    "sqlite:///sweep.db",
    "sqlite:///none.db",
    "sqlite:///text.txt",
    "sqlite:///images",
    "sqlite:///loop",
    "sqlite:///no/such/sweep.db",
    "sqlite:///" + "x" * 300,
    "sqlite:///text.txt/sweep.db",
    "sqlite:///sweep.db?mode=ro",
    "sqlite:///file:sweep.db?uri=true",
    "sqlite://sweep.db",
    "sqlite://",
    "sqlite:",
    "sqlite3:///sweep.db",
    f"postgresql://me:{SECRET}@127.0.0.1:1/sweeps",
    f"postgresql://me:{SECRET}@ss@127.0.0.1:1/sweeps",
    f"postgresql://me:a@{SECRET}@127.0.0.1:1/sweeps",
    f"postgresql://me:a@b/{SECRET}@127.0.0.1:1/sweeps",
    f"postgresql://me:a@b?{SECRET}@127.0.0.1:1/sweeps",
    f"postgresql://me:a:{SECRET}@127.0.0.1:1/sweeps",
    f"postgresql://me:a#{SECRET}@127.0.0.1:1/sweeps",
    f"postgresql://me:{SECRET}/sweeps",
    f"postgresql://me:{SECRET}",
    f"postgresql:/me:{SECRET}@127.0.0.1:1/sweeps",
    f"postgresql//me:{SECRET}@127.0.0.1/sweeps",
    f"me:{SECRET}@127.0.0.1/sweeps",
    f"postgresql://me@127.0.0.1:1/sweeps?password={SECRET}",
    f"postgresql://me:{SECRET}@127.0.0.1:1/sweeps?what=1",
    f"postgresql://me:{SECRET}@127.0.0.1:1/sweeps?sslmode=never",
    f"postgresql://me:{SECRET}@127.0.0.1:99999/sweeps",
    f"postgresql://me:{SECRET}@127.0.0.1:port/sweeps",
    f"postgresql://me:{SECRET}@[::1:1/sweeps",
    f"postgresql+psycopg2://me:{SECRET}@127.0.0.1:1/sweeps",
    f"postgresql+asyncpg://me:{SECRET}@127.0.0.1:1/sweeps",
    f"postgres://me:{SECRET}@127.0.0.1:1/sweeps",
    f"mysql://me:{SECRET}@127.0.0.1:1/sweeps",
    f"://me:{SECRET}@",
]
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 3.5, -0.5, 1e308, float("nan"), float("inf"), 2**31, 2**63),
    *("", " ", "x", "no", "{x}", "[red]", "%s", "\udcff".encode("utf-8", "replace").decode()),
    *("../..", "/dev/null", "text.txt", "images", "a\nb", "ü", "x" * 300, "1e3", "0x10"),
    *([], {}, [[]], [None], {"": None}, {"a": {"b": []}}, [1, "1"], {1: 2}, {"low": 0, "high": 1}),
]
TEXTS = [
    *(b"", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"{", b"[", b"- ", b"a: b: c", b"&a [*a]"),
    *(b"!!python/object:os.system x", b"null", b"[]", b"{}", b"1", b"\t", b"? ", b"[" * 3000),
    *(b"a: &a\n  <<: *a\n", b"\x80abc", b"---\na: 1\n---\nb: 2\n", b"2026-11-26", b"~"),
]


@dataclass(kw_only=True)
class Found:
    """What some tries came to."""

    codes: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def make_folder(folder: Path) -> None:
    """Write what every try begins with."""
    synthetic = {"synthetic": "shapes", "images": 8}
    split = {"train": 0.5, "val": 0.25, "test": 0.25}
    search = {"epochs": 2, "space": {"lr0": [0.1, 0.01]}}
    coco = {
        "images": [
            {"id": number, "file_name": f"{number}.png", "width": 48, "height": 32}
            for number in range(1, 9)
        ],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81}
            | {"iscrowd": 0, "segmentation": [[1, 1, 9, 1, 9, 9]]}
            for number in range(1, 9)
        ],
        "categories": [{"id": 1, "name": "thing", "supercategory": "things"}],
    }
    files: dict[str, Any] = {
        "one.yaml": {
            "name": "one",
            "trainer": "sweep.testing:instant_trainer",
            "search": search,
            "retrain": {"epochs": 2, "baseline": {"lr0": 0.1}},
        },
        "coco.yaml": {
            "name": "photos",
            "dataset": "coco-data.yaml",
            "model": "yolov8n.yaml",
            "train": {"imgsz": 64, "optimizer": "SGD", "batch": 4},
            "search": search | {"sampler": "random", "trials": 2, "pruner": "median"},
        },
        "shapes.yaml": {"name": "shapes", "source": synthetic, "size": 64, "split": split},
        "coco-data.yaml": {
            "name": "photos",
            "source": {"coco": "a.json", "images": "images"},
            "size": 64,
            "split": split,
            "classes": {"stuff": ["thing"]},
        },
        "yolo-data.yaml": {
            "name": "rows",
            "source": {"yolo": "yolo/data.yaml"},
            "size": 64,
            "split": split,
        },
        "yolo/data.yaml": {
            "path": ".",
            "train": "images/train",
            "val": "images/val",
            "names": ["a", "b"],
            "nc": 2,
        },
        "a.json": coco,
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content) if path.suffix == ".json" else yaml.safe_dump(content))
    paint = np.random.default_rng(0)
    for place in ("images", "yolo/images/train", "yolo/images/val"):
        (folder / place).mkdir(parents=True)
        labels = folder / place.replace("images", "labels")
        labels.mkdir(parents=True, exist_ok=True)
        for number in range(1, 9 if place == "images" else 5):
            pixels = paint.integers(0, 255, (32, 48, 3), np.uint8)
            cv2.imwrite(str(folder / place / f"{number}.png"), pixels)
            (labels / f"{number}.txt").write_text("0 0.5 0.5 0.25 0.25\n1 0.2 0.2 0.1 0.1\n")
    (folder / "text.txt").write_text("neither a database nor a folder\n" * 20)
    (folder / "loop").symlink_to("loop")
    with contextlib.chdir(folder):
        assert run_here("submit", "one.yaml").code == 0
        database = Database.open("sqlite:///sweep.db")
        queue = Queue(database.engine)
        lease = claimed(queue)
        queue.record_trial(lease, trial_id=1, number=0, params={"lr0": 0.1})
        reports = [made_up_epoch({}, seed=0, epoch=epoch) for epoch in (1, 2)]
        for report in reports:
            scores = {"map50": report.map50, "map50_95": report.map50_95}
            queue.record_epoch(lease, epoch=report.epoch, **scores, report=to_json(report))
        result = to_json(TrialResult.from_epochs(reports, "map50_95"))
        queue.close(queue.settle(lease, SlotState.COMPLETE, result=result, value=0.1))
        database.engine.dispose()


def spoil(path: Path, chance: random.Random) -> None:
    """Change a file, or what is in it, as no program would have left it."""
    content = path.read_bytes()
    ways: list[Callable[[], None]] = [
        lambda: path.write_bytes(content[: chance.randrange(len(content) + 1)]),
        lambda: path.write_bytes(_flipped(content, chance)),
        lambda: path.write_bytes(chance.choice(TEXTS)),
    ]
    if path.suffix in (".yaml", ".json"):
        ways += [lambda: _change_a_value(path, chance)] * 6
    else:
        ways += [lambda: path.write_bytes(_flipped(content, chance))] * 3
    if chance.random() < 0.1:
        path.unlink()
        if chance.random() < 0.5:
            path.mkdir()
        return
    chance.choice(ways)()


def _flipped(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice([1, 3, 20, 200])):
        if changed:
            changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _change_a_value(path: Path, chance: random.Random) -> None:
    load, dump = (json.loads, json.dumps) if path.suffix == ".json" else (_yaml, yaml.safe_dump)
    content = load(path.read_text())
    for _ in range(chance.choice([1, 1, 2])):
        places = list(_places(content))
        parent, key = chance.choice(places)
        match chance.randrange(4):
            case 0 if isinstance(parent, dict):
                parent[chance.choice(["", "x", "name", 1, "serach"])] = parent.pop(key)
            case 1:
                del parent[key]
            case _:
                parent[key] = chance.choice(VALUES)
        if not content:
            break
    path.write_text(dump(content))


def _yaml(text: str) -> Any:
    return yaml.safe_load(text)


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(content) if isinstance(content, dict) else range(len(content))
    for key in keys:
        yield content, key
        if isinstance(content[key], dict | list):
            yield from _places(content[key])


def arguments(chance: random.Random) -> list[str]:
    """Return a command line: a right one, or one with some words changed."""
    words = chance.choice(COMMANDS).split()
    if chance.random() < 0.4:
        words += ["--storage", chance.choice(URLS)]
    for _ in range(chance.choice([0, 0, 1, 1, 2])):
        place = chance.randrange(len(words) + 1)
        match chance.randrange(3):
            case 0:
                words.insert(place, chance.choice(WORDS))
            case 1 if len(words) > 1:
                words.pop(min(place, len(words) - 1))
            case _:
                words[min(place, len(words) - 1)] = chance.choice(WORDS)
    return words


def _never(*_: object, **__: object) -> None:
    raise ConnectionRefusedError(111, "no network in here")


def _interrupt(_: float) -> None:
    raise KeyboardInterrupt


def _too_long(*_: object) -> None:
    raise TimeoutError(f"longer than {_LONGEST_S} s")


@contextlib.contextmanager
def _nothing_works() -> Iterator[list[BaseException]]:
    """Keep commands from training, serving and waiting; provide what was unexpected."""
    unexpected: list[BaseException] = []

    def note(error: BaseException) -> str:
        unexpected.append(error)
        return "unexpected"

    environment = {"TERM": "dumb", "HOME": tempfile.gettempdir()}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with (
        mock.patch.object(endings, "_unexpected", note),
        mock.patch.object(LocalLauncher, "start", lambda *_: None),
        mock.patch.object(Worker, "run", lambda _: None),
        mock.patch("optuna_dashboard.run_server", lambda *_, **__: None),
        mock.patch("sweep.cli.inspect.time", SimpleNamespace(sleep=_interrupt)),
        mock.patch.object(socket.socket, "connect", _never),
        mock.patch.dict(os.environ, environment),
    ):
        os.environ.pop("SWEEP_STORAGE", None)
        try:
            yield unexpected
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def fuzz(tries: int, *, seed: int, folder: Path, first: int = 0) -> Found:
    """Make some tries below a folder."""
    template, found = folder / "template", Found()
    template.mkdir()
    make_folder(template)
    for number in range(first, first + tries):
        chance = random.Random(f"{seed}/{number}")
        here = folder / "here"
        shutil.copytree(template, here, symlinks=True)
        words = arguments(chance)
        spoilt = []
        if chance.random() < 0.6:
            others = [path for path in sorted(here.rglob("*")) if path.is_file()]
            named = [path for path in others if path.name in words]
            named += [here / "sweep.db"] if "one" in words or not named else []
            spoilt = [chance.choice(named if named and chance.random() < 0.6 else others)]
            for path in spoilt:
                spoil(path, chance)
        began = time.monotonic()
        fault = _try(here, words, found)
        if time.monotonic() - began > _LONGEST_S / 4:
            fault = fault or f"took {time.monotonic() - began:.0f} s"
        if fault is not None:
            names = ", ".join(str(path.relative_to(here)) for path in spoilt)
            found.faults.append(f"{seed}/{number} {words} ({names}): {fault}")
        shutil.rmtree(here)
    return found


def _try(here: Path, words: Sequence[str], found: Found) -> str | None:
    """Run one command line; return what was wrong with how it ended."""
    signal.signal(signal.SIGALRM, _too_long)
    with contextlib.chdir(here), _nothing_works() as unexpected:
        signal.alarm(_LONGEST_S)
        try:
            done = run_here(*words)
        except BaseException as error:  # of any kind: none may leave the command line
            return f"left: {error!r}"
        finally:
            signal.alarm(0)
    found.codes[done.code] += 1
    if unexpected:
        error = unexpected[0]
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        place = "" if where is None else f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}"
        return f"unexpected {type(error).__name__}: {error} at {place}"
    if SECRET in done.out + done.err:
        return f"shows the password: {done}"
    if done.code not in (0, 1, 2, 130) or "Traceback" in done.out + done.err:
        return str(done)
    told = [line for line in done.err.splitlines() if not line.startswith(_PROGRESS)]
    if done.code == 2 and (len(told) != 1 or not told[0].startswith("sweep: ")):
        return f"not one line: {done}"
    return None


def main() -> None:
    """Make many tries and tell what they came to; exit code 1 when there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first try")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = fuzz(asked.tries, seed=asked.seed, folder=Path(folder), first=asked.first)
    for fault in found.faults:
        print(fault)
    ended = ", ".join(f"{count} with {code}" for code, count in sorted(found.codes.items()))
    print(f"{asked.tries} tries: {ended}; {len(found.faults)} faults")
    sys.exit(1 if found.faults else 0)


if __name__ == "__main__":
    main()
