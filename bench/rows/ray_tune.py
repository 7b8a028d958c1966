"""Ray Tune with one trial a core; Ultralytics reports every epoch to it by itself."""

import sys
from pathlib import Path

import ray
from ray import tune
from task import Task

task = Task.read(sys.argv[1])
folder = str(Path.cwd())
settings = [task.settings(number) for number in range(len(task.trials))]


def train(config: dict[str, int]) -> None:
    """Train one trial."""
    from ultralytics import YOLO

    YOLO("yolov8n.yaml").train(**settings[config["number"]])


ray.init(num_cpus=task.processes, include_dashboard=False)
results = tune.Tuner(
    tune.with_resources(train, {"cpu": 1}),
    param_space={"number": tune.grid_search(list(range(len(task.trials))))},
    run_config=tune.RunConfig(name="tune", storage_path=folder),
).fit()
if results.errors:
    raise results.errors[0]
