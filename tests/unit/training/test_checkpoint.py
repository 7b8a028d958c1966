"""Checkpoints: whole or noticed, and never run."""

import hashlib
import io
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweep import paths
from sweep.data.prepared import PreparedDataset
from sweep.training.contract import Device, TrialJob

pytestmark = pytest.mark.slow


def state(epoch: int, identity: str = "job") -> dict[str, Any]:
    import torch

    return {
        "identity": identity,
        "epoch": epoch,
        "weights": torch.full((2, 3, 4, 4), epoch / 3).to(memory_format=torch.channels_last),
        "optimizer": {"state": {0: {"step": torch.tensor(4.0)}}, "groups": [{"betas": (0.9, 1)}]},
        "nothing": None,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder with the checkpoints of epochs 2 and 3."""
    from sweep.training.ultralytics import checkpoint

    for epoch in (1, 2, 3):
        checkpoint.write(tmp_path, state(epoch))
    return tmp_path


def newest_epoch(*folders: Path, identity: str = "job") -> tuple[Path, int] | None:
    from sweep.training.ultralytics import checkpoint

    found = checkpoint.newest(folders, identity=identity)
    return None if found is None else (found[0], found[1]["epoch"])


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        {
            "cut": content[:middle],
            "empty": b"",
            "one bit": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            "another file": b"PK" + content,
        }[how]
    )


def test_what_was_written_is_read(folder: Path) -> None:
    import torch

    from sweep.training.ultralytics import checkpoint

    read = checkpoint.read(folder / paths.CHECKPOINT)
    written = state(3)
    assert torch.equal(read["weights"], written["weights"])
    assert read["weights"].stride() == written["weights"].stride()
    assert read["optimizer"] == written["optimizer"]
    assert sorted(path.name for path in folder.iterdir()) == [
        paths.CHECKPOINT,
        paths.PREVIOUS_CHECKPOINT,
    ]


@pytest.mark.parametrize("how", ["cut", "empty", "one bit", "another file"])
def test_after_damage_the_one_before_is_used(how: str, folder: Path, tmp_path: Path) -> None:
    assert newest_epoch(folder) == (folder, 3)
    damage(folder / paths.CHECKPOINT, how)
    assert newest_epoch(folder) == (folder, 2)
    damage(folder / paths.PREVIOUS_CHECKPOINT, how)
    assert newest_epoch(folder) is None


def test_the_newest_attempt_with_a_checkpoint_counts(folder: Path, tmp_path: Path) -> None:
    assert newest_epoch(tmp_path / "died at once", folder) == (folder, 3)
    assert newest_epoch() is None


def test_the_checkpoint_of_another_training_is_left_alone(folder: Path) -> None:
    assert newest_epoch(folder, identity="another job") is None


@pytest.mark.parametrize("stops_at", ["fsync", "replace"])
def test_a_writer_that_dies_leaves_what_was_there(
    stops_at: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sweep.training.ultralytics import checkpoint

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if stops_at == "fsync" else (Path, "replace")), die)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.write(folder, state(4))
    assert newest_epoch(folder) == (folder, 3)
    checkpoint.write(folder, state(4))
    assert newest_epoch(folder) == (folder, 4)


def test_what_is_written_beside_a_training_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from sweep.training.ultralytics import checkpoint

    changed = threading.Event()
    write = checkpoint.write

    def write_late(folder: Path, state: Any) -> None:
        assert changed.wait(30)
        write(folder, state)

    monkeypatch.setattr(checkpoint, "write", write_late)
    writer, training = checkpoint.Writer(), state(1)
    writer.start(tmp_path, training)
    training["weights"].zero_()
    training["optimizer"]["state"][0]["step"] += 1
    training["optimizer"]["groups"][0]["lr"] = 1
    changed.set()
    writer.wait()
    read, expected = checkpoint.read(tmp_path / paths.CHECKPOINT), state(1)
    assert torch.equal(read["weights"], expected["weights"])
    assert read["weights"].stride() == expected["weights"].stride()
    assert read["optimizer"] == expected["optimizer"]


def test_one_checkpoint_after_the_other(tmp_path: Path) -> None:
    from sweep.training.ultralytics import checkpoint

    writer = checkpoint.Writer()
    for epoch in range(1, 6):
        writer.start(tmp_path, state(epoch))
    writer.wait()
    names = (paths.CHECKPOINT, paths.PREVIOUS_CHECKPOINT)
    assert [checkpoint.read(tmp_path / name)["epoch"] for name in names] == [5, 4]


def test_a_checkpoint_that_cannot_be_written_stops_the_training(tmp_path: Path) -> None:
    from sweep.training.ultralytics import checkpoint

    writer = checkpoint.Writer()
    writer.start(tmp_path / "missing", state(1))
    with pytest.raises(FileNotFoundError):
        writer.start(tmp_path, state(2))
    writer.start(tmp_path / "missing", state(3))
    with pytest.raises(FileNotFoundError):
        writer.wait()
    writer.wait()


def test_code_in_a_checkpoint_is_not_run(folder: Path) -> None:
    import torch

    from sweep.training.ultralytics import checkpoint

    class Code:
        def __reduce__(self) -> Any:
            return (folder / "ran").touch, ()

    buffer = io.BytesIO()
    torch.save({"identity": "job", "epoch": 9, "code": Code()}, buffer)
    digest = hashlib.sha256(buffer.getvalue()).digest()
    (folder / paths.CHECKPOINT).write_bytes(checkpoint._MAGIC + digest + buffer.getvalue())
    assert newest_epoch(folder) == (folder, 2)
    assert not (folder / "ran").exists()


def test_what_decides_the_numbers_is_in_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    from sweep.training.ultralytics import state as states

    job = TrialJob(
        sweep="one",
        slot=1,
        attempt=1,
        params={"lr0": 0.1},
        settings={},
        epochs=2,
        dataset=None,
        run_folder=Path("run"),
        model="yolov8n.yaml",
    )
    dataset = PreparedDataset(
        path=Path("data"),
        name="data",
        fingerprint="0",
        classes=(),
        images_per_split={},
        boxes_per_split={},
    )
    assert set(states.versions()) == {"torch", "ultralytics"}
    found = {states.identity(job, dataset)}
    assert states.identity(replace(job, attempt=2, run_folder=Path("other")), dataset) in found
    found.add(states.identity(replace(job, device=Device(kind="cuda")), dataset))
    for package in ("torch", "ultralytics"):
        with monkeypatch.context() as newer:
            newer.setattr(f"{package}.__version__", "99.0")
            found.add(states.identity(job, dataset))
    assert len(found) == 4
