"""Where the time of a trial goes: its start, its steps, its validations, what it saves.

    python bench/trial.py [--trials 5] [--epochs 5] [--bccd FOLDER]

Trains one setting of the quickstart again and again, or with `--bccd` one of `bench/peers.py`, as a
worker does once its server is warm, and prints medians. "From the start" begins where the worker
asks for the process.
"""

import sys
from pathlib import Path

# Python puts this folder first, where `queue` would be a file of ours.
sys.path[0] = str(Path(__file__).parents[1])
sys.path.append(str(Path(__file__).parent / "rows"))

import argparse
import json
import tempfile
import time
from statistics import median
from typing import Any

from sweep.training.contract import Decision, ImageCachePlace, OnEpoch, TrialJob, TrialResult
from sweep.training.process.child import ChildProcess
from sweep.training.process.messages import Completed, EpochDone

QUICKSTART = Path(__file__).parents[1] / "configs/quickstart.yaml"
MOMENTS = "moments.json"
STEPS, VALIDATION = "steps", "validation"
BESIDE = "(state.ckpt: written beside the next epoch)"


def timed(job: TrialJob, on_epoch: OnEpoch) -> TrialResult:
    """Train as the built-in trainer does, and write down when what was done."""
    from ultralytics.models.yolo.detect import DetectionValidator

    from sweep.training.ultralytics import checkpoint, trainer
    from sweep.training.ultralytics.detection import DetectionTraining

    reached: dict[str, float] = {"the trainer runs": time.time()}
    took: dict[str, list[float]] = {}

    def when(owner: Any, name: str, title: str) -> None:
        """Note when a method has returned first."""
        original = getattr(owner, name)

        def instead(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            reached.setdefault(title, time.time())
            return result

        setattr(owner, name, instead)

    def how_long(owner: Any, name: str, title: str) -> None:
        """Note how long each call takes."""
        original = getattr(owner, name)
        took[title] = []

        def instead(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            result = original(*args, **kwargs)
            took[title].append(time.perf_counter() - start)
            return result

        setattr(owner, name, instead)

    when(DetectionTraining, "setup_model", "the model is built")
    when(DetectionTraining, "_setup_train", "datasets and optimizer are there")
    when(DetectionTraining, "preprocess_batch", "the first batch is there")
    for owner, name, title in (
        (DetectionTraining, "_train_epoch", STEPS),
        (DetectionTraining, "_forward_and_backward", "  forward, loss, backward"),
        (DetectionTraining, "optimizer_step", "  optimizer and moving average"),
        (DetectionTraining, "validate", VALIDATION),
        (DetectionValidator, "postprocess", "  suppression of boxes"),
        (DetectionValidator, "update_metrics", "  matching of boxes"),
        (DetectionTraining, "save_model", "best.pt, where it is better"),
        (checkpoint.Writer, "start", "state.ckpt: copied in memory"),
        (checkpoint.Writer, "wait", "state.ckpt: waited for"),
        (DetectionTraining, "final_eval", "last.pt, and best.pt completed"),
        (checkpoint, "write", BESIDE),
    ):
        how_long(owner, name, title)
    result = trainer.train(job, on_epoch)
    reached["the training is over"] = time.time()
    (job.run_folder / MOMENTS).write_text(json.dumps([reached, took]))
    return result


def run(job: TrialJob) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Train in a process of its own; return when what was reached, and what took how long, s."""
    start = time.time()
    child = ChildProcess.start(job)
    while not isinstance(message := child.receive(60), Completed):
        if isinstance(message, EpochDone):
            child.answer(Decision.CONTINUE)
        elif child.exitcode is not None:
            raise RuntimeError(message)
    reached, took = json.loads((job.run_folder / MOMENTS).read_text())
    return {title: moment - start for title, moment in reached.items()}, took


def main() -> None:
    """Measure and print."""
    # Here, because every trial imports this file.
    from photos import SIZE_PX, prepare_photos

    from sweep.data.dataset_file import DatasetSpec
    from sweep.data.prepare import prepare
    from sweep.spec.sweep_file import SweepSpec
    from sweep.training.process.forkserver import warm_up

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--bccd", type=Path, help="annotations.json and images/")
    arguments = parser.parse_args()
    spec = SweepSpec.load(QUICKSTART)
    settings: dict[str, Any] = dict(spec.train)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.bccd is None:
            dataset = prepare(DatasetSpec.load(QUICKSTART.parent / str(spec.dataset)), folder)
        else:
            dataset = prepare_photos(arguments.bccd, folder, train=160, val=48)
            settings = {"imgsz": SIZE_PX, "batch": 16, "nbs": 16}
        warm_up("ultralytics")
        found = [
            run(
                TrialJob(
                    sweep="bench",
                    slot=number,
                    attempt=1,
                    trainer="bench.trial:timed",
                    params={"optimizer": "AdamW", "lr0": 0.002},
                    settings=settings,
                    epochs=arguments.epochs,
                    dataset=dataset.path,
                    run_folder=folder / str(number),
                    model=spec.model,
                    image_cache=ImageCachePlace(
                        folder=folder / "stream", disk_cap_gb=1, trainings=1000
                    ),
                )
            )
            for number in range(arguments.trials + 1)
        ][1:]  # the first one waits for the server and makes the images
    show(found)


def show(found: list[tuple[dict[str, float], dict[str, list[float]]]]) -> None:
    """Print the medians."""
    print(f"medians of {len(found)} trials")
    print(f"{'from the start until':50}{'ms':>8}")
    for title in found[0][0]:
        print(f"  {title:48}{1000 * median(reached[title] for reached, _ in found):8.0f}")
    whole_s = median(reached["the training is over"] for reached, _ in found)
    print(f"{'of the whole trial':50}{'s':>8}{'part':>8}{'a call, ms':>12}")
    for title in found[0][1]:
        total_s = median(sum(took[title]) for _, took in found)
        call_s = median(seconds for _, took in found for seconds in took[title])
        print(f"  {title:48}{total_s:8.2f}{total_s / whole_s:8.1%}{1000 * call_s:12.1f}")


if __name__ == "__main__":
    main()
