"""Forward, backward, optimizer and validation forward alone, on batches that are ready.

Prints the seconds from the moment all processes are ready to the end of the last one.
"""

import multiprocessing
import os
import sys
import time
from multiprocessing.synchronize import Barrier
from types import SimpleNamespace
from typing import Any

import torch
from task import Task
from ultralytics.cfg import get_cfg
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.tasks import DetectionModel

from sweep.training.process.forkserver import ALLOCATOR, TUNABLES

Batch = dict[str, Any]
BATCHES = "batches.pt"
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def prepare(task: Task) -> None:
    """Write one epoch of augmented batches, and the validation batches, as a training sees them."""
    trainer = DetectionTrainer(overrides={**task.settings(0), "model": "yolov8n.yaml"})
    trainer._setup_train()
    loaders = {"train": trainer.train_loader, "val": trainer.test_loader}
    batches = {
        split: [trainer.preprocess_batch(batch) for batch in loader]
        for split, loader in loaders.items()
    }
    torch.save({**batches, "nc": trainer.data["nc"]}, BATCHES)


def work(task: Task, share: list[int], memory_format: str, barrier: Barrier) -> None:
    """Train the trials of `share`, one after the other."""
    torch.set_num_threads(1)
    ready = torch.load(BATCHES, weights_only=False)
    for split in ("train", "val"):
        for batch in ready[split]:
            batch["img"] = batch["img"].contiguous(memory_format=FORMATS[memory_format])
    start(task, share[0], memory_format, ready["nc"])  # loads what torch loads at its first use
    barrier.wait()
    for number in share:
        model, optimizer = start(task, number, memory_format, ready["nc"])
        for _ in range(task.epochs):
            train_epoch(model, optimizer, ready["train"])
            model.eval()
            with torch.inference_mode():
                for batch in ready["val"]:
                    model(batch["img"])


def start(
    task: Task, number: int, memory_format: str, classes: int
) -> tuple[DetectionModel, torch.optim.Optimizer]:
    """Return the model and the optimizer of a trial."""
    settings = task.settings(number)
    model = DetectionModel("yolov8n.yaml", nc=classes, verbose=False)
    model.args = get_cfg(overrides=settings)
    model.to(memory_format=FORMATS[memory_format])
    optimizer = BaseTrainer.build_optimizer(
        SimpleNamespace(),
        model,
        name=settings["optimizer"],
        lr=settings["lr0"] / 10,  # there is no warm-up here
        momentum=model.args.momentum,
        decay=model.args.weight_decay,
    )
    return model, optimizer


def train_epoch(
    model: DetectionModel, optimizer: torch.optim.Optimizer, batches: list[Batch]
) -> None:
    """Take a step for every batch."""
    model.train()
    for batch in batches:
        loss = model(batch)[0].sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    if not loss.isfinite():
        raise RuntimeError("the loss is not finite: its time would mean nothing")


def main() -> None:
    """Prepare, start the processes together, and print what they took."""
    task, memory_format = Task.read(sys.argv[1]), sys.argv[2]
    prepare(task)
    os.environ[TUNABLES] = ALLOCATOR  # as the trainings of this project have it
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(task.processes + 1)
    trials = range(len(task.trials))
    processes = [
        context.Process(
            target=work, args=(task, list(trials[first :: task.processes]), memory_format, barrier)
        )
        for first in range(task.processes)
    ]
    for process in processes:
        process.start()
    barrier.wait(120)
    start = time.perf_counter()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        sys.exit(1)
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
