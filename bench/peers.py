"""The same trainings by this project and by other ways, on one machine in one run.

    pip install -e '.[bench]' -c constraints.txt    # Ray Tune
    python bench/peers.py [--rows loop,sweep,floor] [--repeats 3] [--out peers.json]

Six trials (SGD and AdamW at three learning rates), 5 epochs, 160 + 48 photos of blood cells at
160 px, batch and nbs 16, YOLOv8n from scratch, no plots, a validation each epoch, checkpoints as
each tool writes them by itself. The rows take turns, `--repeats` times; what is done is kept in
`--out`, and the same command goes on after an interruption. `--epochs 1 --train 32 --val 16
--trials 2` is a quick look at whether all rows work.

Beside the seconds stands the CPU time of a row's processes, and what the rest of the machine took
meanwhile: where that is much, the seconds say little. Ray's processes cannot be told from the rest:
nobody waits for them. Linux only.
"""

import argparse
import ctypes
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice, product
from pathlib import Path

HERE = Path(__file__).parent
# Python puts this folder first, where `queue` would be a file of ours.
sys.path[0] = str(HERE.parent)
sys.path.append(str(HERE / "rows"))

from photos import prepare_photos
from task import Task

TRIALS = tuple(product(("SGD", "AdamW"), (0.01, 0.002, 0.0005)))
BCCD = HERE.parent / "configs/datasets/bccd"
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

Command = list[str]


def script(name: str, *arguments: str) -> Callable[[Path, Task], Command]:
    """Return a row that is a script in `rows`."""

    def command(folder: Path, _: Task) -> Command:
        return [sys.executable, str(HERE / "rows" / name), str(folder / "task.json"), *arguments]

    return command


def sweep(memory_format: str, **settings: str) -> Callable[[Path, Task], Command]:
    """Return a row that is `sweep run`."""

    def command(folder: Path, task: Task) -> Command:
        file = {
            "name": "six",
            "dataset": "photos.yaml",
            "model": "yolov8n.yaml",
            "train": {"imgsz": task.imgsz, "batch": task.batch, "nbs": task.batch},
            "memory_format": memory_format,
            **settings,
            "search": {
                "epochs": task.epochs,
                "space": {
                    "optimizer": sorted({optimizer for optimizer, _ in task.trials}),
                    "lr0": sorted({lr0 for _, lr0 in task.trials}),
                },
            },
        }
        (folder / "six.yaml").write_text(json.dumps(file))
        return [
            *(sys.executable, "-m", "sweep.cli", "run", "six.yaml"),
            *("--workers", str(task.processes)),
        ]

    return command


ROWS: dict[str, tuple[str, Callable[[Path, Task], Command]]] = {
    "loop": ("one Python loop over model.train", script("loop.py")),
    "yolo": ("one `yolo train` process a trial", script("yolo_train.py")),
    "ray": ("Ray Tune, one trial a core", script("ray_tune.py")),
    "optuna": ("plain Optuna script, one process a core", script("optuna_script.py")),
    "sweep": ("sweep run, channels_last", sweep("channels_last")),
    "sweep-contiguous": ("sweep run, contiguous", sweep("contiguous")),
    "sweep-bf16": ("sweep run, bf16", sweep("channels_last", precision="bf16")),
    "floor": ("the floor, channels_last", script("floor.py", "channels_last")),
    "floor-contiguous": ("the floor, contiguous", script("floor.py", "contiguous")),
    "preload": ("the fork servers' preloading alone", script("preload.py")),
}
PRINT_SECONDS = ("floor", "floor-contiguous", "preload")
"""Rows that measure a part of themselves, and print it last."""
TRAIN_ALL = [name for name in ROWS if name not in PRINT_SECONDS]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of one row."""

    row: str
    seconds: float
    cpu_s: float
    """CPU time of all its processes."""
    others: float
    """Part of the machine that something else took meanwhile."""


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default=",".join(ROWS), help="which, with commas between")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("peers.json"))
    parser.add_argument("--bccd", type=Path, default=BCCD, help="annotations.json and images/")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--train", type=int, default=160)
    parser.add_argument("--val", type=int, default=48)
    parser.add_argument("--trials", type=int, default=len(TRIALS), choices=(2, 3, 6))
    options = parser.parse_args()
    rows = options.rows.split(",")
    if unknown := set(rows) - set(ROWS):
        parser.error(f"--rows: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    work = {name: getattr(options, name) for name in ("epochs", "train", "val", "trials")}
    runs = load(options.out, work)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = prepare_photos(options.bccd, folder, train=options.train, val=options.val)
        task = Task(
            data=str(photos.data_yaml),
            epochs=options.epochs,
            imgsz=160,
            batch=16,
            trials=tuple(islice(TRIALS, options.trials)),
            processes=len(os.sched_getaffinity(0)),
        )
        for repeat, row in product(range(options.repeats), rows):
            if sum(run.row == row for run in runs) > repeat:
                continue
            runs.append(measure(row, folder, task))
            kept = {"work": work, "runs": [asdict(run) for run in runs]}
            options.out.write_text(json.dumps(kept, indent=1))
            print(f"{row}: {runs[-1].seconds:.1f} s", flush=True)
    show(runs)


def load(out: Path, work: dict[str, int]) -> list[Run]:
    """Return the runs that are done."""
    if not out.exists():
        return []
    kept = json.loads(out.read_text())
    if kept["work"] != work:
        sys.exit(f"{out} is of other work, {kept['work']}: name another --out")
    return [Run(**run) for run in kept["runs"]]


def measure(row: str, photos: Path, task: Task) -> Run:
    """Run a row in a fresh folder; its labels are not scanned yet, its image cache is empty."""
    for cache in photos.glob("prepared/*/labels/*.cache"):
        cache.unlink()
    folder = photos / "run"
    folder.mkdir()
    task.write(folder / "task.json")
    for name in ("prepared", "photos.yaml", "tree"):
        (folder / name).symlink_to(photos / name)
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE.parent),
        "YOLO_CONFIG_DIR": str(folder / "config"),
        "YOLO_OFFLINE": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
        "SWEEP_STREAM": str(folder / "stream"),
    }
    environment.pop("OMP_NUM_THREADS", None)
    if row != "ray":  # Ultralytics would load Ray in every process because it is installed
        settings = [Path(sys.executable).with_name("yolo"), "settings", "raytune=False"]
        subprocess.run(settings, env=environment, check=True, capture_output=True)
    command = ROWS[row][1](folder, task)
    # What a row leaves to itself, a fork server, becomes a child of ours: its CPU time counts.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    cpu_before, machine_before, start = cpu_s(), machine_cpu_s(), time.perf_counter()
    log = folder / "log"
    with log.open("wb") as file:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False
        )
    seconds = time.perf_counter() - start
    wait_for_orphans()
    whole_s = time.perf_counter() - start
    own_s = cpu_s() - cpu_before
    others_s = max(0.0, machine_cpu_s() - machine_before - own_s)
    printed = log.read_text(errors="replace")
    if done.returncode:
        sys.exit(f"{row} failed:\n{printed[-4000:]}")
    if row in TRAIN_ALL:
        check_trained(row, folder, task)
    else:
        seconds = float(printed.split()[-1])
    shutil.rmtree(folder)
    others = others_s / whole_s / (os.cpu_count() or 1)
    return Run(row=row, seconds=seconds, cpu_s=own_s, others=others)


def cpu_s() -> float:
    """Return the CPU time of all processes that have ended below this one."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def machine_cpu_s() -> float:
    """Return the CPU time of everything on this machine."""
    fields = Path("/proc/stat").read_text().split()
    user, nice, system, _idle, _iowait, irq, softirq = map(int, fields[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def wait_for_orphans() -> None:
    """Wait until no process of a row is left."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def check_trained(row: str, folder: Path, task: Task) -> None:
    """Exit unless every trial has been trained once, to its last epoch."""
    epochs = [len(file.read_text().splitlines()) - 1 for file in folder.rglob("results.csv")]
    if epochs != [task.epochs] * len(task.trials):
        sys.exit(f"{row}: trained {epochs} epochs instead of {task.epochs} in every trial")


def show(runs: list[Run]) -> None:
    """Print the medians of what has been run, beside that of `sweep`."""
    found = {row: [run for run in runs if run.row == row] for row in ROWS}
    found = {row: mine for row, mine in found.items() if mine}
    medians = {row: statistics.median(run.seconds for run in mine) for row, mine in found.items()}
    base = medians.get("sweep")
    print(f"{'':40} {'median s':>9} {'/ sweep':>8} {'CPU s':>7} {'others':>7}  all, s")
    for row, mine in found.items():
        ratio = f"{medians[row] / base:8.2f}" if base else f"{'':8}"
        cpu = statistics.median(run.cpu_s for run in mine)
        others = statistics.median(run.others for run in mine)
        every = " ".join(f"{run.seconds:.1f}" for run in mine)
        print(f"{ROWS[row][0]:40} {medians[row]:9.1f} {ratio} {cpu:7.1f} {others:7.1%}  {every}")
    for kind in ("", "-contiguous"):
        parts = [f"sweep{kind}", "preload", f"floor{kind}"]
        if all(part in medians for part in parts):
            whole, preload, floor = (medians[part] for part in parts)
            print(f"(sweep{kind} - preload) / floor{kind}: {(whole - preload) / floor:.2f}")


if __name__ == "__main__":
    main()
