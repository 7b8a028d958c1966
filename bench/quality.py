"""Whether what is faster trains as well: `memory_format: channels_last`, `precision: bf16`.

    python bench/quality.py [--seeds 10] [--processes 2] [--epochs 10]

Trains YOLOv8n from scratch on drawn shapes (192 + 64 images of 128 px, batch 8, AdamW 0.005), in
each way for every seed. Prints their means of the last epoch's mAP50-95 and, beside what
Ultralytics does on a CPU (contiguous, fp32), the mean of the paired differences and its 95 %
confidence interval by Student's t.
"""

import sys
from pathlib import Path

# Python puts this folder first, where `queue` would be a file of ours.
sys.path[0] = str(Path(__file__).parents[1])

import argparse
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from statistics import mean, stdev

from scipy.stats import t as student

from sweep.data.dataset_file import DatasetSpec
from sweep.data.prepare import prepare
from sweep.data.prepared import PreparedDataset
from sweep.training.contract import Decision, MemoryFormat, Precision, TrialJob
from sweep.training.process.child import ChildProcess
from sweep.training.process.messages import Completed, EpochDone, Failed

WAYS: tuple[tuple[MemoryFormat, Precision], ...] = (
    ("contiguous", "fp32"),
    ("channels_last", "fp32"),
    ("channels_last", "bf16"),
)
"""The first is what the others are compared with."""
SHAPES = {
    "name": "shapes",
    "source": {"synthetic": "shapes", "images": 256},
    "size": 128,
    "split": {"train": 0.75, "val": 0.25, "test": 0},
}


def main() -> None:
    """Train, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "shapes.yaml").write_text(json.dumps(SHAPES))
        dataset = prepare(DatasetSpec.load(folder / "shapes.yaml"), folder)
        tasks = list(product(range(options.seeds), range(len(WAYS))))
        with ThreadPoolExecutor(options.processes) as pool:
            found = pool.map(
                lambda task: train(dataset, folder, *task, epochs=options.epochs), tasks
            )
            scores = dict(zip(tasks, found, strict=True))
    for number, way in enumerate(WAYS):
        mine = [scores[seed, number] for seed in range(options.seeds)]
        differences = [scores[seed, number] - scores[seed, 0] for seed in range(options.seeds)]
        print(f"{' '.join(way):20} mean mAP50-95 {mean(mine):.4f}  {as_text(differences)}")
        print(f"{'':20} {' '.join(f'{x:.3f}' for x in mine)}")


def as_text(differences: list[float]) -> str:
    """Write the mean of paired differences and its 95 % confidence interval."""
    if not any(differences):
        return ""
    spread = stdev(differences) / len(differences) ** 0.5
    half = student.ppf(0.975, len(differences) - 1) * spread
    middle = mean(differences)
    return f"{middle:+.4f}, 95 % interval {middle - half:+.4f} to {middle + half:+.4f}"


def train(dataset: PreparedDataset, folder: Path, seed: int, number: int, *, epochs: int) -> float:
    """Return the last epoch's mAP50-95 of one training, in the way of that number."""
    memory_format, precision = WAYS[number]
    job = TrialJob(
        sweep="quality",
        slot=seed,
        attempt=1,
        params={"optimizer": "AdamW", "lr0": 0.005},
        settings={"imgsz": 128, "batch": 8, "nbs": 8},
        epochs=epochs,
        dataset=dataset.path,
        run_folder=folder / f"{seed}-{number}",
        model="yolov8n.yaml",
        seed=seed,
        memory_format=memory_format,
        precision=precision,
    )
    child = ChildProcess.start(job)
    try:
        while True:
            message = child.receive(600)
            if isinstance(message, EpochDone):
                child.answer(Decision.CONTINUE)
            elif isinstance(message, Completed):
                return message.result.last_map50_95
            elif message is None or isinstance(message, Failed):
                sys.exit(f"seed {seed}, {memory_format} {precision}: {message}")
    finally:
        child.kill()


if __name__ == "__main__":
    main()
