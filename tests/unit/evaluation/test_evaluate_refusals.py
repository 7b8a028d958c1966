from pathlib import Path

import pytest

from sweep.data.prepared import PreparedDataset
from sweep.errors import InputError
from sweep.evaluation.evaluate import evaluate


def refuse(split: str, *, images: int = 1, boxes: int = 1) -> str:
    dataset = PreparedDataset(
        path=Path("/nowhere/shapes"),
        name="shapes",
        fingerprint="0" * 16,
        classes=("disc",),
        images_per_split={"train": 1, "val": 1, "test": images},
        boxes_per_split={"train": 1, "val": 1, "test": boxes},
    )
    with pytest.raises(InputError) as refusal:
        evaluate(
            Path("best.pt"), dataset, split=split, out=Path("out"), imgsz=64, batch=1, device="cpu"
        )
    return str(refusal.value)


def test_a_split_without_images_is_refused():
    assert "/nowhere/shapes: the split 'test' has no image" in refuse("test", images=0)


def test_a_split_without_boxes_is_refused():
    assert "the split 'test' has no box" in refuse("test", boxes=0)


def test_an_unknown_split_is_refused_with_the_nearest():
    assert "no split 'tset': did you mean 'test'?" in refuse("tset")
