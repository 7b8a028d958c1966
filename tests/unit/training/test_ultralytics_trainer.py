"""The built-in trainer, on trainings of a second."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweep.data.prepared import PreparedDataset
from sweep.evaluation.result import Evaluation
from sweep.training.contract import (
    Decision,
    EpochReport,
    FailureKind,
    ImageCachePlace,
    TrainingFailed,
    TrainingStopped,
    TrialJob,
    TrialResult,
)

pytestmark = pytest.mark.slow

SGD = {"optimizer": "SGD", "lr0": 0.01, "momentum": 0.9}
LOSSES = {f"{split}/{name}_loss" for split in ("train", "val") for name in ("box", "cls", "dfl")}


@pytest.fixture(autouse=True)
def _nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give Ultralytics a folder of its own; put back what a training changes in its process."""
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def job(tiny: PreparedDataset, tmp_path: Path) -> TrialJob:
    return TrialJob(
        sweep="s",
        slot=1,
        attempt=1,
        params=SGD,
        settings={"imgsz": 64, "batch": 6, "nbs": 6},
        epochs=2,
        dataset=tiny.path,
        run_folder=tmp_path / "run",
        model="yolov8n.yaml",
    )


def train(
    job: TrialJob, decide: Callable[[EpochReport], Decision] = lambda _: Decision.CONTINUE
) -> tuple[list[EpochReport], TrialResult]:
    from sweep.training.ultralytics import trainer

    reports: list[EpochReport] = []

    def on_epoch(report: EpochReport) -> Decision:
        reports.append(report)
        return decide(report)

    return reports, trainer.train(job, on_epoch)


def failure(job: TrialJob) -> TrainingFailed:
    with pytest.raises(TrainingFailed) as failed:
        train(job)
    return failed.value


def set_up(job: TrialJob, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the training of `job` as it is before its first batch."""
    from sweep.training.ultralytics.detection import DetectionTraining

    seen: list[Any] = []
    begin = DetectionTraining.begin

    def stop(training: Any) -> None:
        begin(training)
        seen.append(training)
        raise TrainingStopped(Decision.STOP)

    monkeypatch.setattr(DetectionTraining, "begin", stop)
    with pytest.raises(TrainingStopped):
        train(job)
    return seen[0]


def test_a_training_reports_every_epoch_once_and_keeps_the_best(
    job: TrialJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *host, **_: asked.append(host))
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
    seen_threads: list[int] = []

    def decide(_: EpochReport) -> Decision:
        seen_threads.append(torch.get_num_threads())
        return Decision.CONTINUE

    reports, result = train(replace(job, threads=2, evaluate_on="test"), decide)

    assert [report.epoch for report in reports] == [1, 2]
    assert all(set(report.losses) == LOSSES for report in reports)
    assert all(set(report.lr) == {"lr/pg0", "lr/pg1", "lr/pg2"} for report in reports)
    assert all(report.seconds > 0 for report in reports)
    assert seen_threads == [2, 2]
    assert result == replace(result, epochs=2, map50=max(report.map50 for report in reports))
    assert result.effective["threads"] == 2
    assert {metrics.name for metrics in result.per_class} <= {"circle", "square", "triangle"}
    assert asked == [], "a training must not use the network"

    weights = job.run_folder / "weights"
    assert result.checkpoint == weights / "best.pt"
    best = torch.load(weights / "best.pt", weights_only=False)
    assert best["optimizer"] is None, "stripped, as Ultralytics strips it"
    assert best["train_results"]["epoch"] == [1.0, 2.0]
    assert len((job.run_folder / "results.csv").read_text().splitlines()) == 3
    assert not list(job.run_folder.glob("*.jpg")), "no plots"
    assert result.evaluation is not None
    assert Evaluation.load(result.evaluation).split == "test"


def test_settings_that_are_lists_reach_the_training(
    job: TrialJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"freeze": [0, "22.cv2"], "classes": [1], "scale": [0.5, 1.5], "fraction": [0.5, 1]}
    job = replace(job, epochs=1, settings={**job.settings, **settings}, evaluate_on="test")
    with monkeypatch.context() as patches:
        training = set_up(job, patches)
    frozen = {name for name, found in training.model.named_parameters() if not found.requires_grad}
    assert {name.split(".")[1] for name in frozen} == {"0", "22"}
    assert all(name.startswith(("model.0.", "model.22.cv2", "model.22.dfl")) for name in frozen)
    images = training.train_loader.dataset
    assert len(images) == len(list((job.dataset / "images/train").iterdir())) // 2
    assert {int(number) for label in images.labels for number in label["cls"].flat} == {1}

    _, result = train(replace(job, run_folder=job.run_folder.with_name("whole")))
    assert result.evaluation is not None
    judged = Evaluation.load(result.evaluation)
    having = {scores.name for scores in judged.per_class if scores.boxes}
    assert having == {judged.classes[1]}
    assert {scores.name for scores in judged.per_class if scores.coco_ap is not None} == having
    assert {metrics.name for metrics in result.per_class} == having


def test_best_is_the_first_of_equal_epochs(job: TrialJob, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from ultralytics.models.yolo.detect import DetectionValidator

    judge = DetectionValidator.__call__
    score = {"metrics/mAP50-95(B)": 0.25}
    monkeypatch.setattr(DetectionValidator, "__call__", lambda *given: judge(*given) | score)
    reports, result = train(job)
    assert [report.map50_95 for report in reports] == [0.25, 0.25]
    assert result.best_epoch == 1
    states = [
        torch.load(job.run_folder / "weights" / name, weights_only=False)["model"].state_dict()
        for name in ("best.pt", "last.pt")
    ]
    assert not all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(
    ("params", "effective"),
    [
        (SGD, {"optimizer": "SGD", "lr0": 0.01, "momentum": 0.9, "weight_decay": 0.0005}),
        (
            {"optimizer": "Adam", "lr0": 0.005, "momentum": 0.5, "batch": 4, "nbs": 16},
            {"optimizer": "Adam", "lr0": 0.005, "beta1": 0.5, "beta2": 0.999, "accumulate": 4},
        ),
        (
            {"optimizer": "AdamW", "lr0": 0.001, "momentum": 0.1, "weight_decay": 0.01},
            {"optimizer": "AdamW", "lr0": 0.001, "beta1": 0.1, "weight_decay": 0.01, "batch": 6},
        ),
        (
            # Ultralytics leaves the last epoch without warm-up, so one epoch has none at all
            {"optimizer": "RMSprop", "momentum": 0.3, "warmup_epochs": 1},
            {"optimizer": "RMSprop", "lr0": 0.01, "momentum": 0.3, "warmup_batches": 0},
        ),
        ({"optimizer": "MuSGD", "momentum": 0.3}, {"optimizer": "MuSGD", "momentum": 0.3}),
    ],
)
def test_what_the_optimizer_ran_with_is_read_back(
    params: dict[str, Any],
    effective: dict[str, Any],
    job: TrialJob,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = set_up(replace(job, params=params, epochs=1), monkeypatch).effective
    always = {
        **{"imgsz": 64, "epochs": 1, "threads": 1},
        **{"precision": "fp32", "memory_format": "channels_last"},
    }
    assert found.items() >= {**always, **effective}.items()
    assert ("momentum" in found) != ("beta1" in found)


@pytest.mark.parametrize("decision", [Decision.PRUNE, Decision.STOP])
def test_a_decision_ends_it_within_the_epoch(decision: Decision, job: TrialJob) -> None:
    seen: list[int] = []

    def decide(report: EpochReport) -> Decision:
        seen.append(report.epoch)
        return decision

    with pytest.raises(TrainingStopped) as stopped:
        train(replace(job, epochs=50), decide)
    assert stopped.value.decision is decision
    assert seen == [1]


def test_an_infinite_loss_is_divergence(job: TrialJob) -> None:
    failed = failure(replace(job, settings={**job.settings, "box": 1e39}))
    assert failed.kind is FailureKind.DIVERGED
    assert "the loss is not finite in epoch 1" in str(failed)


def test_a_weight_that_is_not_a_number_is_divergence(
    job: TrialJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from sweep.training.ultralytics.detection import DetectionTraining

    validate = DetectionTraining.validate

    def poisoned(training: Any) -> Any:
        if training.epoch == 1:
            with torch.no_grad():
                next(training.model.parameters())[0] = torch.nan
        return validate(training)

    monkeypatch.setattr(DetectionTraining, "validate", poisoned)
    failed = failure(replace(job, epochs=3))
    assert failed.kind is FailureKind.DIVERGED
    assert "a weight is not finite in epoch 2" in str(failed)


def out_of_memory() -> Exception:
    import torch

    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.parametrize(
    "make",
    [
        out_of_memory,
        lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: 12 bytes"),
        lambda: RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        lambda: MemoryError("Unable to allocate 3 GiB"),
    ],
    ids=["cuda", "cpu", "cudnn", "numpy"],
)
def test_out_of_memory_fails_and_never_halves_the_batch(
    make: Callable[[], Exception], job: TrialJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultralytics.models.yolo.detect import DetectionTrainer

    batches: list[int] = []

    def fail(training: Any, _: Any) -> None:
        batches.append(training.batch_size)
        raise make()

    monkeypatch.setattr(DetectionTrainer, "preprocess_batch", fail)
    failed = failure(job)
    assert failed.kind is FailureKind.OOM
    assert "use a smaller batch or imgsz" in str(failed)
    assert batches == [6]


def test_out_of_memory_while_validating_is_told_as_such(
    job: TrialJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultralytics.models.yolo.detect import DetectionValidator

    def fail(*_: Any) -> None:
        raise out_of_memory()

    monkeypatch.setattr(DetectionValidator, "preprocess", fail)
    assert failure(job).kind is FailureKind.OOM


def test_a_dataset_that_is_not_there_is_a_data_failure(job: TrialJob, tmp_path: Path) -> None:
    failed = failure(replace(job, dataset=tmp_path / "nowhere"))
    assert failed.kind is FailureKind.DATA
    assert "not a prepared dataset" in str(failed)
    assert failure(replace(job, dataset=None)).kind is FailureKind.DATA


def test_a_broken_data_yaml_is_a_data_failure(job: TrialJob, tmp_path: Path) -> None:
    import shutil

    assert job.dataset is not None
    broken = Path(shutil.copytree(job.dataset, tmp_path / "broken"))
    (broken / "data.yaml").write_text("train: images/train\n")
    assert failure(replace(job, dataset=broken)).kind is FailureKind.DATA


def test_an_image_that_vanishes_is_a_data_failure(
    job: TrialJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from sweep.training.ultralytics.detection import DetectionTraining

    assert job.dataset is not None
    mine = Path(shutil.copytree(job.dataset, tmp_path / "mine"))
    PreparedDataset.load(mine).packed("train").unlink()  # where it is, files are not read
    monkeypatch.setattr(
        DetectionTraining, "begin", lambda _: shutil.rmtree(mine / "images" / "train")
    )
    failed = failure(replace(job, dataset=mine))
    assert failed.kind is FailureKind.DATA
    assert str(mine) in str(failed)


def test_what_is_not_known_is_left_as_it_was_raised(job: TrialJob) -> None:
    with pytest.raises(RuntimeError, match="froze the entire model"):
        train(replace(job, settings={**job.settings, "freeze": 1000}))


def test_weights_of_another_class_list_are_transferred_where_they_fit(
    job: TrialJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from ultralytics import YOLO

    torch.manual_seed(7)
    eighty = YOLO("yolov8n.yaml")
    eighty.save(tmp_path / "eighty.pt")
    given = torch.load(tmp_path / "eighty.pt", weights_only=False)["model"].float().state_dict()
    assert given["model.22.cv3.0.2.weight"].shape[0] == 80

    training = set_up(replace(job, model=str(tmp_path / "eighty.pt")), monkeypatch)
    taken = training.model.state_dict()
    assert taken["model.22.cv3.0.2.weight"].shape[0] == 3
    backbone = [key for key in given if int(key.split(".")[1]) < 22]
    assert len(backbone) > 250
    assert all(torch.equal(given[key], taken[key]) for key in backbone)
    assert torch.equal(given["model.22.cv2.0.0.conv.weight"], taken["model.22.cv2.0.0.conv.weight"])


def test_channels_last_reaches_model_and_batches(
    job: TrialJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from sweep.training.ultralytics.detection import DetectionTraining

    images: list[torch.Tensor] = []
    preprocess = DetectionTraining.preprocess_batch

    def keep(training: Any, batch: Any) -> Any:
        batch = preprocess(training, batch)
        images.append(batch["img"])
        assert training.model.model[1].conv.weight.is_contiguous(memory_format=torch.channels_last)
        return batch

    monkeypatch.setattr(DetectionTraining, "preprocess_batch", keep)
    reports, _ = train(replace(job, epochs=1))
    assert len(reports) == 1
    assert images
    assert all(image.is_contiguous(memory_format=torch.channels_last) for image in images)


def test_bf16_is_used_in_steps_only(job: TrialJob, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from ultralytics.nn.modules import Conv

    from sweep.training.ultralytics.detection import DetectionTraining

    outputs: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    begin, forward = DetectionTraining.begin, Conv.forward

    def keep(layer: Any, image: torch.Tensor) -> Any:
        output = forward(layer, image)
        outputs[layer.training].add(output.dtype)
        return output

    def watch(training: Any) -> None:
        begin(training)
        monkeypatch.setattr(Conv, "forward", keep)

    monkeypatch.setattr(DetectionTraining, "begin", watch)
    reports, result = train(replace(job, epochs=2, precision="bf16"))
    assert outputs == {True: {torch.bfloat16}, False: {torch.float32}}
    assert result.effective["precision"] == "bf16"
    (full, *_), _ = train(replace(job, epochs=2))
    assert reports[0].losses != full.losses
    assert reports[0].losses["train/cls_loss"] == pytest.approx(
        full.losses["train/cls_loss"], rel=0.1
    )


def test_weights_files_are_those_of_a_finished_training(job: TrialJob) -> None:
    import torch
    from ultralytics.utils.torch_utils import strip_optimizer

    _, result = train(replace(job, epochs=2))
    assert result.checkpoint is not None
    for path in (result.checkpoint, result.checkpoint.with_name("last.pt")):
        ours = torch.load(path, weights_only=False)
        theirs = strip_optimizer(path, s=str(path.with_suffix(".stripped")))
        assert set(ours) == set(theirs)
        changed = {"date", "license", "model"}
        assert {name: ours[name] for name in set(ours) - changed} == {
            name: theirs[name] for name in set(theirs) - changed
        }
        assert ours["epoch"] == -1
        assert len(ours["train_results"]["epoch"]) == 2
        assert not any(parameter.requires_grad for parameter in ours["model"].parameters())
        assert {tensor.dtype for tensor in ours["model"].parameters()} == {torch.float16}


def test_a_seed_decides_the_numbers(job: TrialJob) -> None:
    runs = [train(replace(job, epochs=1, seed=seed))[0][0].losses for seed in (0, 0, 1)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_with_and_without_the_image_cache_the_bits_are_the_same(
    job: TrialJob, tiny: PreparedDataset, tmp_path: Path
) -> None:
    import torch

    def evict(_: EpochReport) -> Decision:
        for path in (tmp_path / "cache").glob("*.images"):
            path.unlink()
        return Decision.CONTINUE

    def run(name: str, *, shared: bool = True, decide: Any = lambda _: Decision.CONTINUE) -> Any:
        place = ImageCachePlace(folder=tmp_path / "cache", disk_cap_gb=0.1, trainings=9)
        reports, result = train(
            replace(
                job, run_folder=tmp_path / name, image_cache=place if shared else None, epochs=3
            ),
            decide,
        )
        saved = torch.load(tmp_path / name / "weights" / "last.pt", weights_only=False)
        return (
            [replace(report, seconds=0.0) for report in reports],
            list(saved["model"].state_dict().values()),
            (result.images_shared, result.images_loaded),
        )

    live = run("live", shared=False)
    made = run("made")
    read = run("read")
    evicted = run("evicted", decide=evict)
    epoch = tiny.images_per_split["train"]
    assert [images for *_, images in (live, made, read, evicted)] == [
        (0, 3 * epoch),
        (0, 3 * epoch),
        (3 * epoch, 3 * epoch),
        (epoch, 3 * epoch),
    ]
    for reports, weights, _ in (made, read, evicted):
        assert reports == live[0]
        assert all(map(torch.equal, weights, live[1]))


def overrides(job: TrialJob, tiny: PreparedDataset) -> dict[str, Any]:
    from sweep.training.ultralytics.trainer import training_overrides

    return dict(training_overrides(job, tiny, device="cpu"))


def test_params_win_over_settings_and_the_sweep_over_both(
    job: TrialJob, tiny: PreparedDataset
) -> None:
    told = overrides(
        replace(job, params={**SGD, "epochs": 77}, settings={"lr0": 0.5, "batch": 4}), tiny
    )
    assert (told["lr0"], told["batch"], told["epochs"]) == (0.01, 4, 2)
    assert told["patience"] == 0


@pytest.mark.parametrize(
    ("epochs", "settings", "warmup_epochs", "close_mosaic"),
    [
        (5, {}, 0.15, 0),
        (30, {}, 0.9, 3),
        (100, {}, 3.0, 10),
        (30, {"warmup_epochs": 2, "close_mosaic": 7}, 2, 7),
    ],
)
def test_scaled_fits_warm_up_and_mosaic_to_the_length(
    epochs: int,
    settings: dict[str, Any],
    warmup_epochs: float,
    close_mosaic: int,
    request: pytest.FixtureRequest,
) -> None:
    job: TrialJob = request.getfixturevalue("job")
    scaled = replace(job, schedule="scaled", epochs=epochs, settings=settings)
    told = overrides(scaled, request.getfixturevalue("tiny"))
    assert told["warmup_epochs"] == pytest.approx(warmup_epochs)
    assert told["close_mosaic"] == close_mosaic


def test_as_published_leaves_warm_up_and_mosaic_to_ultralytics(
    job: TrialJob, tiny: PreparedDataset
) -> None:
    assert not {"warmup_epochs", "close_mosaic"} & set(overrides(job, tiny))


@pytest.mark.parametrize("params", [{}, {"optimizer": "auto"}])
def test_without_an_optimizer_nothing_is_trained(
    params: dict[str, Any], job: TrialJob, tiny: PreparedDataset
) -> None:
    with pytest.raises(TrainingFailed, match="ignores lr0 and momentum"):
        overrides(replace(job, params=params), tiny)


def test_patience_of_the_sweep_file_is_obeyed(job: TrialJob, tiny: PreparedDataset) -> None:
    told = overrides(replace(job, settings={"patience": 3}), tiny)
    assert told["patience"] == 3


def test_label_caches_are_written_whole(tmp_path: Path) -> None:
    from ultralytics.data.utils import load_dataset_cache_file

    from sweep.training.ultralytics.patches import _save_label_cache

    for number in (1, 2):
        _save_label_cache("", tmp_path / "train.cache", {"labels": [number]}, "1.0")
        found = load_dataset_cache_file(tmp_path / "train.cache")
        assert found == {"labels": [number], "version": "1.0"}
    assert [path.name for path in tmp_path.iterdir()] == ["train.cache"]


def test_gpus_without_half_precision_are_known_by_name() -> None:
    from sweep.training.ultralytics.patches import _NO_AMP

    assert _NO_AMP.search("NVIDIA GeForce GTX 1660 Ti")
    assert not _NO_AMP.search("NVIDIA A100-SXM4-40GB")
