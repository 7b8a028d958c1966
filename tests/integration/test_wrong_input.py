"""Wrong input through the command line: one line with the mend, exit code 2, nothing left."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.command import Command

Change = Callable[[Path, dict[str, Any], dict[str, Any]], None]


def sweep_file() -> dict[str, Any]:
    return {
        "name": "one",
        "dataset": "shapes.yaml",
        "model": "yolov8n.yaml",
        "train": {"imgsz": 64, "optimizer": "SGD"},
        "search": {"epochs": 1, "space": {"lr0": [0.1, 0.01]}},
    }


def dataset_file() -> dict[str, Any]:
    return {
        "name": "shapes",
        "source": {"synthetic": "shapes", "images": 12},
        "size": 64,
        "split": {"train": 0.5, "val": 0.25, "test": 0.25},
    }


def typo(_folder: Path, found: dict[str, Any], _dataset: dict[str, Any]) -> None:
    found["serach"] = found.pop("search")


def wrong_type(_folder: Path, found: dict[str, Any], _dataset: dict[str, Any]) -> None:
    found["search"]["epochs"] = "many"


def empty_space(_folder: Path, found: dict[str, Any], _dataset: dict[str, Any]) -> None:
    found["search"]["space"] = {}


def missing_dataset(_folder: Path, found: dict[str, Any], _dataset: dict[str, Any]) -> None:
    found["dataset"] = "elsewhere.yaml"


def negative_lr(_folder: Path, found: dict[str, Any], _dataset: dict[str, Any]) -> None:
    found["search"]["space"]["lr0"] = [-0.1]


def unknown_sampler(_folder: Path, found: dict[str, Any], _dataset: dict[str, Any]) -> None:
    found["search"]["sampler"] = "bayesian"


def automatic_optimizer(_folder: Path, found: dict[str, Any], _dataset: dict[str, Any]) -> None:
    found["train"]["optimizer"] = "auto"


def missing_weights(_folder: Path, found: dict[str, Any], _dataset: dict[str, Any]) -> None:
    found["model"] = "mine.pt"


def unknown_trainer(_folder: Path, found: dict[str, Any], _dataset: dict[str, Any]) -> None:
    found["trainer"] = "no_such_module:train"


def ratios(_folder: Path, _found: dict[str, Any], dataset: dict[str, Any]) -> None:
    dataset["split"]["train"] = 0.9


def corrupt_image(folder: Path, _found: dict[str, Any], dataset: dict[str, Any]) -> None:
    (folder / "images").mkdir()
    content: dict[str, list[dict[str, Any]]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "thing"}],
    }
    for number in range(1, 13):
        name = f"{number}.png"
        pixels = np.full((64, 64, 3), number, np.uint8)
        cv2.imwrite(str(folder / "images" / name), pixels)
        content["images"].append({"id": number, "file_name": name, "width": 64, "height": 64})
        box = {"bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0}
        content["annotations"].append({"id": number, "image_id": number, "category_id": 1} | box)
    (folder / "images" / "7.png").write_bytes(b"no image")
    (folder / "a.json").write_text(json.dumps(content))
    dataset["source"] = {"coco": "a.json", "images": "images"}


pytestmark = pytest.mark.slow

WRONG: list[tuple[Change, str]] = [
    (typo, "one.yaml: serach: unknown key; did you mean 'search'?"),
    (wrong_type, "one.yaml: search.epochs: found 'many'"),
    (empty_space, "one.yaml: search.space: is empty"),
    (missing_dataset, "elsewhere.yaml does not exist"),
    (negative_lr, "one.yaml: search.space.lr0: 'lr0' is -0.1"),
    (unknown_sampler, "one.yaml: search.sampler: found 'bayesian'"),
    (automatic_optimizer, "which ignores lr0 and momentum"),
    (missing_weights, "one.yaml: model: "),
    (unknown_trainer, "one.yaml: trainer: trainer 'no_such_module:train'"),
    (ratios, "shapes.yaml: split: train 0.9"),
    (corrupt_image, "7.png"),
]


@pytest.mark.parametrize(("change", "expected"), WRONG, ids=[c.__name__ for c, _ in WRONG])
def test_a_wrong_sweep_gives_one_line_and_leaves_nothing(
    sweep: Command, change: Change, expected: str
) -> None:
    found, dataset = sweep_file(), dataset_file()
    change(sweep.folder, found, dataset)
    file = sweep.write("one.yaml", found)
    sweep.write("shapes.yaml", dataset)
    refused = sweep("run", file)
    assert refused.code == 2, refused
    assert expected in refused.err
    assert refused.err.count("\n") == 1
    assert "Traceback" not in refused.err
    assert not list((sweep.folder / "prepared").glob("shapes-*"))
    assert not (sweep.folder / "runs").exists()
    assert not (sweep.folder / "sweep.db").exists()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///text.txt", "text.txt cannot be opened"),
        ("sqlite:///no/such/folder/sweep.db", "does not exist"),
        ("sqlite://", "in memory"),
        ("mysql://somewhere/sweeps", "mysql cannot keep the queue's promises"),
        ("sweep.db", "no database URL"),
        ("postgresql://nobody@127.0.0.1:1/none", "cannot be opened"),
    ],
)
def test_a_database_that_cannot_serve_is_one_line(sweep: Command, url: str, expected: str) -> None:
    (sweep.folder / "text.txt").write_text("no database " * 100)
    sweep.write("shapes.yaml", dataset_file())
    refused = sweep("run", sweep.write("one.yaml", sweep_file()), "--storage", url)
    assert refused.code == 2, refused
    assert expected in refused.err
    assert refused.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("status", "oen"), "no sweep 'oen' in this database; there are: one"),
        (("worker", "oen"), "no sweep 'oen'"),
        (("report", "oen"), "no sweep 'oen'"),
        (("retrain", "one"), "no trial of the search has completed yet; nothing to retrain"),
        (("best", "oen"), "no sweep 'oen'"),
        (("worker", "--device", "gpu"), "--device 'gpu'"),
        (("runn", "one.yaml"), "No such command 'runn'"),
        (("run", "none.yaml"), "none.yaml: no such file"),
        (("status", "--storage", "sqlite:///none.db"), "none.db does not exist"),
    ],
)
def test_a_wrong_argument_is_one_line(
    sweep: Command, arguments: tuple[str, ...], expected: str
) -> None:
    sweep.write("shapes.yaml", dataset_file())
    assert sweep("submit", sweep.write("one.yaml", sweep_file())).code == 0
    refused = sweep(*arguments)
    assert refused.code == 2, refused
    assert expected in refused.err
    assert refused.err.count("\n") == 1


def test_a_database_of_something_else_is_left_as_it_is(sweep: Command) -> None:
    with sqlite3.connect(sweep.folder / "sweep.db") as connection:
        connection.execute("CREATE TABLE sweeps (id INTEGER, other TEXT)")
    sweep.write("shapes.yaml", dataset_file())
    refused = sweep("run", sweep.write("one.yaml", sweep_file()))
    assert refused.code == 2, refused
    assert refused.err.count("\n") == 1
