import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from sweep.data.packing.packed import PackedImages
from sweep.data.prepare import prepare
from sweep.data.prepared import SPLITS, PreparedDataset
from sweep.errors import InputError
from tests.datasets import load, make_photos


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    folder = tmp_path_factory.mktemp("shapes")
    document = {
        "name": "shapes",
        "source": {"synthetic": "shapes", "images": 40},
        "size": 64,
        "split": {"train": 0.6, "val": 0.2, "test": 0.2},
    }
    return prepare(load(folder, document), folder / "out")


def test_holds_what_the_files_decode_to(dataset: PreparedDataset) -> None:
    for split in SPLITS:
        packed = PackedImages(dataset, split)
        assert packed.pixels.shape == (dataset.images_per_split[split], 64, 64, 3)
        assert list(packed.names) == sorted(path.name for path in dataset.images(split).iterdir())
        for index, name in enumerate(packed.names):
            assert packed.index_of(name) == index
            assert (packed[index] == cv2.imread(str(dataset.images(split) / name))).all()


def test_is_read_only_and_travels_as_its_path(dataset: PreparedDataset) -> None:
    packed = PackedImages(dataset, "train")
    with pytest.raises(ValueError, match="read-only"):
        packed[0][:] = 0
    sent = pickle.dumps(packed)
    assert len(sent) < 2000
    assert (pickle.loads(sent).pixels == packed.pixels).all()


def test_photos_of_several_sizes_are_not_packed(tmp_path: Path) -> None:
    spec = make_photos(tmp_path, size=None, resize="none")
    same = prepare(spec, tmp_path / "out")
    assert PackedImages(same, "train").pixels.shape[1:] == (60, 80, 3)
    document = (tmp_path / "a.json").read_text()
    (tmp_path / "a.json").write_text(document.replace('"width": 80', '"width": 40', 1))
    cv2.imwrite(str(tmp_path / "images" / "0.jpg"), np.zeros((60, 40, 3), np.uint8))
    with pytest.raises(InputError, match="different sizes are not packed"):
        PackedImages(prepare(spec, tmp_path / "out"), "train")


_READ = """
import sys
from pathlib import Path
from sweep.data.packing.packed import PackedImages
from sweep.data.prepared import PreparedDataset
packed = PackedImages(PreparedDataset.load(Path(sys.argv[1])), "train")
int(packed.pixels.sum())
print("read", flush=True)
sys.stdin.readline()
lines = Path("/proc/self/smaps").read_text().split("train.npy", 1)[1].splitlines()
values = dict(line.split(":") for line in lines[1:20])
print(values["Rss"].split()[0], values["Pss"].split()[0], values["Private_Dirty"].split()[0])
print("told", flush=True)
sys.stdin.readline()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_many_readers_share_one_copy_of_memory(tmp_path: Path) -> None:
    document = {
        "name": "shapes",
        "source": {"synthetic": "shapes", "images": 60},
        "size": 640,
        "split": {"train": 0.8, "val": 0.1, "test": 0.1},
    }
    dataset = prepare(load(tmp_path, document), tmp_path / "out")
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", _READ, dataset.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]

    def each(line: str) -> list[str]:
        """Read one line of every reader; each has written it before any goes on."""
        answers = [str(reader.stdout and reader.stdout.readline()) for reader in readers]
        assert line in {answer.strip() for answer in answers} or not line
        return answers

    def go_on() -> None:
        for reader in readers:
            assert reader.stdin
            reader.stdin.write("\n")
            reader.stdin.flush()

    each("read")
    go_on()
    sizes = [list(map(int, answer.split())) for answer in each("")]
    each("told")
    go_on()
    assert [reader.wait() for reader in readers] == [0] * 4
    whole_kb = dataset.packed("train").stat().st_size // 1024
    for resident_kb, share_kb, private_kb in sizes:
        assert resident_kb >= 0.95 * whole_kb
        assert share_kb <= 0.3 * whole_kb
        assert private_kb == 0


@pytest.mark.slow
def test_training_from_the_array_gives_the_metrics_of_training_from_files(
    dataset: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain Ultralytics, once as it is, once with its reader of image files replaced."""
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    from ultralytics.data import base
    from ultralytics.models.yolo.detect import DetectionTrainer

    def train(name: str) -> list[list[str]]:
        trainer = DetectionTrainer(
            overrides={
                "model": "yolov8n.yaml",
                "data": str(dataset.data_yaml),
                **{"epochs": 2, "imgsz": 64, "batch": 8, "workers": 0, "device": "cpu"},
                **{"optimizer": "SGD", "seed": 0, "plots": False, "amp": False},
                **{"project": str(tmp_path), "name": name},
            }
        )
        trainer.train()
        rows = (tmp_path / name / "results.csv").read_text().splitlines()
        return [[*row.split(",")[:1], *row.split(",")[2:]] for row in rows]  # all but the time

    from_files = train("files")
    packed = {split: PackedImages(dataset, split) for split in SPLITS}
    read: list[str] = []

    def from_array(file: str, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
        path = Path(file)
        images = packed[path.parent.name]  # type: ignore[index]
        read.append(path.name)
        return images[images.index_of(path.name)].copy()

    monkeypatch.setattr(base, "imread", from_array)
    assert train("array") == from_files
    assert set(read) == set(packed["train"].names) | set(packed["val"].names)
