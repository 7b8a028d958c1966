"""A training killed at any moment goes on in another process and ends with the same bits."""

import json
import os
import random
import re
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from sweep import paths
from sweep.data.dataset_file import DatasetSpec
from sweep.data.prepare import prepare
from sweep.data.prepared import PreparedDataset
from sweep.training.contract import (
    Decision,
    EpochReport,
    ImageCachePlace,
    MemoryFormat,
    Precision,
    TrialJob,
    TrialResult,
)
from sweep.training.process.child import ChildProcess
from sweep.training.process.forkserver import warm_up
from sweep.training.process.messages import Completed, EpochDone, Failed, Stopped
from tests.trainings import next_word

pytestmark = pytest.mark.slow

DATASET = """
name: tiny
source: {synthetic: shapes, images: 30}
size: 64
split: {train: 0.6, val: 0.3, test: 0.1, seed: 0}
"""
EPOCHS, BATCH, BATCHES = 3, 4, 5
PARAMS: dict[str, dict[str, Any]] = {
    "SGD": {"optimizer": "SGD", "lr0": 0.01, "momentum": 0.9},
    "Adam": {"optimizer": "Adam", "lr0": 0.002, "momentum": 0.5},
    "AdamW": {"optimizer": "AdamW", "lr0": 0.002, "momentum": 0.9},
}

MORTAL = """
'''The built-in trainer; it sends itself SIGKILL at the moment that moment.json names.'''
import json, os, signal, threading
import torch
from sweep.training.ultralytics import checkpoint, trainer
from sweep.training.ultralytics.detection import DetectionTraining

def train(job, on_epoch):
    moment = job.run_folder / "moment.json"
    wanted = tuple(json.loads(moment.read_text())) if moment.exists() else None
    now = threading.local()  # a checkpoint is written while the next epoch trains

    def before(owner, name, batch=lambda *_: 0):
        original = getattr(owner, name)
        def instead(*args, **kwargs):
            if isinstance(args[0], DetectionTraining):
                now.epoch, now.training = args[0].epoch, args[0]
            elif name == "write":
                now.epoch = args[1]["epoch"] - 1
            if (name, getattr(now, "epoch", None), batch(*args)) == wanted:
                if hasattr(now, "training"):
                    now.training._checkpoints.wait()  # what is lost is the same on any machine
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)
        setattr(owner, name, instead)

    before(DetectionTraining, "_forward_and_backward", lambda _, number, __: number)
    before(DetectionTraining, "validate")
    before(DetectionTraining, "save_model")
    before(DetectionTraining, "end_epoch")
    before(checkpoint, "write")
    before(os, "fsync")
    before(checkpoint, "sync_folder")
    final_eval = DetectionTraining.final_eval
    def keep_full_weights(training):
        torch.save(training.model.state_dict(), job.run_folder / "full.pt")
        final_eval(training)
    DetectionTraining.final_eval = keep_full_weights
    before(DetectionTraining, "final_eval")
    return trainer.train(job, on_epoch)
"""
Moment = tuple[str, int, int]


def moments(epoch: int) -> list[Moment]:
    """Return moments in an epoch, from 0, at which a process may die."""
    batches: list[Moment] = [("_forward_and_backward", epoch, number) for number in range(BATCHES)]
    names = ("validate", "save_model", "end_epoch", "write", "fsync", "sync_folder")
    return [*batches, *((name, epoch, 0) for name in names)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.yaml").write_text(DATASET)
    return prepare(DatasetSpec.load(folder / "tiny.yaml"), folder)


@pytest.fixture(scope="module")
def job(dataset: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Return what makes jobs that share nothing but the dataset."""
    warm_up("ultralytics")  # the server then has loaded torch for `mortal`, too
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "mortal.py").write_text(MORTAL)
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.syspath_prepend(folder)

    def make(
        name: str,
        params: dict[str, Any],
        *,
        memory_format: MemoryFormat = "contiguous",
        precision: Precision = "auto",
        image_cache: ImageCachePlace | None = None,
        **settings: Any,
    ) -> TrialJob:
        return TrialJob(
            sweep="s",
            slot=1,
            attempt=1,
            trainer="mortal:train",
            params=params,
            settings={"imgsz": 64, "batch": BATCH, **settings},
            epochs=EPOCHS,
            dataset=dataset.path,
            run_folder=folder / name / "1",
            model="yolov8n.yaml",
            memory_format=memory_format,
            precision=precision,
            image_cache=image_cache,
        )

    return make


def next_attempt(job: TrialJob) -> TrialJob:
    parent = job.run_folder.parent
    return replace(
        job,
        attempt=job.attempt + 1,
        run_folder=parent / str(job.attempt + 1),
        earlier=(job.run_folder, *job.earlier),
    )


def attempt(
    job: TrialJob,
    moment: Moment | None = None,
    decide: Callable[[EpochReport], Decision] = lambda _: Decision.CONTINUE,
    *,
    killed_after_s: float | None = None,
) -> tuple[list[EpochReport], TrialResult | Stopped | int | None]:
    """Run one attempt in a process of its own; return its epochs and how it ended.

    It kills itself at the moment, or is killed after so long.
    """
    if moment is not None:
        job.run_folder.mkdir(parents=True)
        (job.run_folder / "moment.json").write_text(json.dumps(moment))
    child = ChildProcess.start(job)
    reports = []
    killer = threading.Timer(killed_after_s or 0, os.kill, (child.pid, signal.SIGKILL))
    if killed_after_s is not None:
        killer.start()
    try:
        while True:
            message = next_word(child)
            if isinstance(message, EpochDone):
                reports.append(message.report)
                child.answer(decide(message.report))
            elif isinstance(message, Completed):
                return reports, message.result
            elif isinstance(message, Stopped):
                return reports, message
            else:
                log = (job.run_folder / "train.log").read_text()
                assert child.exitcode == -9, f"{message}\n{log}"
                return reports, child.exitcode
    finally:
        killer.cancel()
        child.kill()


def bare(report: EpochReport) -> EpochReport:
    return replace(report, seconds=0.0)


def bare_result(result: TrialResult) -> TrialResult:
    """Leave out what is not the same in two trainings, or in two attempts at one."""
    return replace(result, seconds=0.0, checkpoint=None, images_loaded=0)


def same_tensors(one: Any, other: Any) -> bool:
    import torch

    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def same_weights(one: Path, other: Path) -> bool:
    import torch

    def saved(folder: Path, name: str) -> Any:
        content = torch.load(folder / "weights" / name, weights_only=False)
        return content["model"].float().state_dict()

    return same_tensors(torch.load(one / "full.pt"), torch.load(other / "full.pt")) and all(
        same_tensors(saved(one, name), saved(other, name)) for name in ("best.pt", "last.pt")
    )


Whole = tuple[TrialJob, list[EpochReport], TrialResult]
Uninterrupted = Callable[..., Whole]


@pytest.fixture(scope="module")
def uninterrupted(job: Callable[..., TrialJob]) -> Uninterrupted:
    """Return what trains without interruption and loader processes, once for each setting."""
    done: dict[str, Whole] = {}

    def get(optimizer: str, nbs: int, **changes: Any) -> Whole:
        name = "-".join(map(str, (optimizer, nbs, *changes.values())))
        if name not in done:
            whole = job(name, PARAMS[optimizer], nbs=nbs, **changes)
            reports, result = attempt(whole)
            assert isinstance(result, TrialResult)
            assert [report.epoch for report in reports] == [1, 2, 3]
            done[name] = whole, reports, result
        return done[name]

    return get


def check_same(job: TrialJob, told: list[EpochReport], end: Any, expected: Whole) -> None:
    """Check that a training of several attempts, the last one `job`, is that of one attempt."""
    whole, reports, result = expected
    assert isinstance(end, TrialResult)
    for report in told:
        assert bare(report) == bare(reports[report.epoch - 1])
    assert {report.epoch for report in told} == {1, 2, 3}
    assert bare_result(end) == bare_result(result)
    assert end.checkpoint == job.run_folder / "weights" / "best.pt"
    assert same_weights(job.run_folder, whole.run_folder)
    columns = [path / "results.csv" for path in (job.run_folder, whole.run_folder)]
    mine, theirs = ([line.split(",") for line in path.read_text().split()] for path in columns)
    assert [line[:1] + line[2:] for line in mine] == [line[:1] + line[2:] for line in theirs]


def kill_in_every_epoch(job: TrialJob, drawn: random.Random) -> tuple[TrialJob, Any, Any]:
    """Kill a training once in each epoch; return its last attempt, all epochs told and the end."""
    seen: list[EpochReport] = []
    kept = [0]
    for epoch in range(EPOCHS):
        moment = drawn.choice(moments(epoch))
        told, end = attempt(job, moment)
        assert end == -9, f"it should have died at {moment}"
        seen += told
        job = next_attempt(job)
        kept.append(epoch + 1 if moment[0] == "sync_folder" else epoch)
    told, end = attempt(job)
    assert [went_on_after(folder) for folder in reversed((job.run_folder, *job.earlier))] == kept
    return job, [*seen, *told], end


def went_on_after(folder: Path) -> int:
    """Return how many epochs an attempt found done."""
    found = re.search(r"going on after epoch (\d+)", (folder / "train.log").read_text())
    return int(found[1]) if found else 0


@pytest.mark.parametrize("nbs", [BATCH, 4 * BATCH])
@pytest.mark.parametrize("processes", [0, 2])
@pytest.mark.parametrize("optimizer", PARAMS)
def test_killed_in_every_epoch_it_ends_with_the_same_bits(
    optimizer: str,
    processes: int,
    nbs: int,
    job: Callable[..., TrialJob],
    uninterrupted: Uninterrupted,
) -> None:
    expected = uninterrupted(optimizer, nbs)
    effective = expected[2].effective
    assert effective["batches_per_epoch"] == BATCHES
    assert effective["warmup_batches"] == 2 * BATCHES, "two epochs of three warm up"

    name = f"{optimizer}-{nbs}-{processes}"
    killed = job(name, PARAMS[optimizer], nbs=nbs, workers=processes)
    check_same(*kill_in_every_epoch(killed, random.Random(name)), expected)


@pytest.mark.parametrize(
    "changes", [{"memory_format": "channels_last"}, {"precision": "bf16"}], ids=str
)
def test_in_another_memory_format_and_precision_as_well(
    changes: dict[str, str], job: Callable[..., TrialJob], uninterrupted: Uninterrupted
) -> None:
    expected = uninterrupted("SGD", 4 * BATCH, **changes)
    # Whether the bits differ from the usual ones is up to the processor's kernels.
    assert expected[2].effective.items() >= changes.items()
    killed = job("killed-" + "-".join(changes), PARAMS["SGD"], nbs=4 * BATCH, **changes)
    check_same(*kill_in_every_epoch(killed, random.Random(1)), expected)


def test_reading_from_the_image_cache_as_well(
    job: Callable[..., TrialJob], uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    place = ImageCachePlace(folder=tmp_path, disk_cap_gb=0.1, trainings=9)
    killed = job("killed-cache", PARAMS["Adam"], nbs=4 * BATCH, workers=2, image_cache=place)
    last, told, end = kill_in_every_epoch(killed, random.Random(2))
    check_same(last, told, replace(end, images_shared=0), uninterrupted("Adam", 4 * BATCH))


def test_killed_from_outside_whenever(
    job: Callable[..., TrialJob], uninterrupted: Uninterrupted
) -> None:
    expected = uninterrupted("AdamW", 4 * BATCH)
    whole_s = expected[2].seconds
    killed = job("whenever", PARAMS["AdamW"], nbs=4 * BATCH, workers=2)
    seen: list[EpochReport] = []
    kills = 0
    while True:
        after_s = random.uniform(0, whole_s) if kills < 4 else None
        told, end = attempt(killed, killed_after_s=after_s)
        seen += told
        if isinstance(end, TrialResult):
            break
        assert end == -9
        kills += 1
        killed = next_attempt(killed)
    check_same(killed, seen, end, expected)


def test_gradients_that_wait_for_their_step_cross_the_end_of_an_epoch(
    uninterrupted: Uninterrupted,
) -> None:
    from sweep.training.ultralytics import checkpoint

    folder = uninterrupted("SGD", 4 * BATCH)[0].run_folder
    states = [
        checkpoint.read(folder / name) for name in (paths.PREVIOUS_CHECKPOINT, paths.CHECKPOINT)
    ]
    assert [state["epoch"] for state in states] == [2, 3]
    assert any(state["gradients"] for state in states)


def test_killed_after_its_last_epoch_nothing_is_trained_again(
    job: Callable[..., TrialJob], uninterrupted: Uninterrupted
) -> None:
    whole, _, result = uninterrupted("SGD", BATCH)
    killed = job("at-the-end", PARAMS["SGD"], nbs=BATCH)
    told, end = attempt(killed, ("final_eval", EPOCHS - 1, 0))
    assert (len(told), end) == (EPOCHS, -9)
    goes_on = next_attempt(killed)
    told, end = attempt(goes_on)
    assert told == []
    assert isinstance(end, TrialResult)
    assert bare_result(end) == bare_result(result)
    assert same_weights(goes_on.run_folder, whole.run_folder)


def test_stopped_it_goes_on_and_reports_no_epoch_twice(
    job: Callable[..., TrialJob], uninterrupted: Uninterrupted
) -> None:
    _, _, result = uninterrupted("SGD", BATCH)
    stopped = job("stopped", PARAMS["SGD"], nbs=BATCH)
    told, end = attempt(stopped, decide=lambda _: Decision.STOP)
    assert ([report.epoch for report in told], end) == ([1], Stopped(Decision.STOP))
    told, end = attempt(next_attempt(stopped))
    assert [report.epoch for report in told] == [2, 3]
    assert isinstance(end, TrialResult)
    assert bare_result(end) == bare_result(result)


def test_a_damaged_checkpoint_costs_an_epoch_and_no_bit(
    job: Callable[..., TrialJob], uninterrupted: Uninterrupted
) -> None:
    _, _, result = uninterrupted("SGD", BATCH)
    killed = job("damaged", PARAMS["SGD"], nbs=BATCH)
    attempt(killed, ("validate", 2, 0))
    newest = killed.run_folder / paths.CHECKPOINT
    newest.write_bytes(newest.read_bytes()[:-1])
    told, end = attempt(next_attempt(killed))
    assert [report.epoch for report in told] == [2, 3]
    assert isinstance(end, TrialResult)
    assert bare_result(end) == bare_result(result)


def test_a_killed_training_leaves_no_loader_process(job: Callable[..., TrialJob]) -> None:
    helpers: list[psutil.Process] = []

    child = ChildProcess.start(job("leaves-none", PARAMS["SGD"], workers=2))
    try:
        while not isinstance(message := next_word(child), Failed):
            assert isinstance(message, EpochDone)
            helpers.extend(psutil.Process(child.pid).children(recursive=True))
            os.kill(child.pid, signal.SIGKILL)
    finally:
        child.kill()
    assert len(helpers) >= 2
    _, left = psutil.wait_procs(helpers, timeout=120)
    assert left == []
