"""A plain Optuna script: one process a core on one SQLite file.

Each process takes its share of the trials: two may claim the same one of those that are enqueued.
"""

import multiprocessing
import sys

import optuna
from task import Task

STORAGE = "sqlite:///optuna.db"


def objective(trial: optuna.Trial) -> float:
    """Train one trial and return its mAP50-95."""
    from ultralytics import YOLO

    optimizer = trial.suggest_categorical("optimizer", sorted({name for name, _ in task.trials}))
    lr0 = trial.suggest_categorical("lr0", sorted({rate for _, rate in task.trials}))
    number = task.trials.index((optimizer, lr0))
    metrics = YOLO("yolov8n.yaml").train(**task.settings(number))
    return float(metrics.box.map)


def work(first: int) -> None:
    """Run every trial of a process, one after the other."""
    study = optuna.load_study(study_name="six", storage=STORAGE)
    for optimizer, lr0 in task.trials[first :: task.processes]:
        point = {"optimizer": optimizer, "lr0": lr0}
        study.sampler = optuna.samplers.PartialFixedSampler(point, optuna.samplers.RandomSampler())
        study.optimize(objective, n_trials=1)


task = Task.read(sys.argv[1])
if __name__ == "__main__":
    optuna.create_study(study_name="six", storage=STORAGE, direction="maximize")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(first,)) for first in range(task.processes)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        sys.exit(1)
