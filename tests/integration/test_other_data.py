"""A sweep goes on with the data that it began on, or not at all."""

import pytest

from tests.command import Command

SHAPES = {
    "name": "shapes",
    "source": {"synthetic": "shapes", "images": 20},
    "size": 64,
    "split": {"train": 0.5, "val": 0.25, "test": 0.25},
}
SWEEP = {
    "name": "tiny",
    "dataset": "shapes.yaml",
    "model": "yolov8n.yaml",
    "train": {"imgsz": 64, "batch": 8},
    "search": {
        "epochs": 1,
        "sampler": "grid",
        "space": {"optimizer": ["SGD"], "lr0": [0.01], "momentum": [0.9]},
    },
    "objective": "map50_95",
}


@pytest.mark.slow
def test_continuing_on_other_data_is_refused(sweep: Command) -> None:
    sweep.write("shapes.yaml", SHAPES)
    file = sweep.write("tiny.yaml", SWEEP)
    first = sweep("submit", file)
    assert (first.code, first.err) == (0, "")
    again = sweep("submit", file)
    assert "was queued before; nothing changed" in again.out
    sweep.write("shapes.yaml", SHAPES | {"source": {"synthetic": "shapes", "images": 21}})
    other = sweep("submit", file)
    assert other.code == 2
    assert "dataset: fingerprint is" in other.err and "put the data back" in other.err
    assert other.err.count("\n") == 1
    sweep.write("shapes.yaml", SHAPES)
    assert sweep("submit", file).code == 0
