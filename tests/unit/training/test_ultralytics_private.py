"""The installed Ultralytics still has the private parts that we rely on: all are checked here."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sweep.data.prepared import PreparedDataset

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

Check = Callable[..., str | None]
"""Returns what was found instead, or None; may ask for `training`."""

CHECKS: dict[str, Check] = {}
RELIED_ON: dict[str, str] = {}
"""What is no public interface of Ultralytics, and who relies on it, below `sweep/`."""


def check(what: str, who: str) -> Callable[[Check], Check]:
    """Register the check of something private, and who relies on it, below `sweep/`."""

    def register(function: Check) -> Check:
        CHECKS[what] = function
        RELIED_ON[what] = who
        return function

    return register


@pytest.fixture(scope="module")
def training(tiny: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give a plain training of Ultralytics before its first batch."""
    folder = tmp_path_factory.mktemp("ultralytics")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("YOLO_CONFIG_DIR", str(folder))
        monkeypatch.setenv("YOLO_OFFLINE", "true")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        import torch
        from ultralytics.models.yolo.detect import DetectionTrainer

        from sweep.training.ultralytics.patches import patched

        threads = torch.get_num_threads()
        with patched(threads=1):
            trainer = DetectionTrainer(
                overrides={
                    **{"model": "yolov8n.yaml", "data": str(tiny.data_yaml), "imgsz": 64},
                    **{"batch": 4, "optimizer": "SGD", "device": "cpu", "deterministic": False},
                    **{"plots": False, "save_dir": str(folder / "run")},
                }
            )
            trainer._setup_train()
        yield trainer
        torch.set_num_threads(threads)


def changed(what: str, found: str) -> str:
    """Return the sentence for who raises the version of Ultralytics."""
    from ultralytics import __version__

    return f"Ultralytics {__version__} changed {what} (found: {found}); sweep/{RELIED_ON[what]}"


def lacks(thing: Any, *fragments: str) -> str | None:
    source = inspect.getsource(thing)
    absent = [fragment for fragment in fragments if fragment not in source]
    return f"{thing.__name__} without {' and '.join(map(repr, absent))}" if absent else None


def misses(thing: Any, *names: str) -> str | None:
    absent = [name for name in names if not hasattr(thing, name)]
    return (
        f"{getattr(thing, '__name__', type(thing).__name__)} without {', '.join(absent)}"
        if absent
        else None
    )


def takes_other(function: Any, *names: str) -> str | None:
    found = [name for name in inspect.signature(function).parameters if name != "self"]
    return None if found == list(names) else f"{function.__name__}({', '.join(found)})"


def first(*found: str | None) -> str | None:
    return next(filter(None, found), None)


@check("check_font", "training/ultralytics/patches.py replaces it: it downloads fonts")
def _() -> str | None:
    from ultralytics.data import utils

    return lacks(utils.check_det_dataset, "    check_font(")


@check("add_integration_callbacks", "training/ultralytics/patches.py replaces it: it reports")
def _() -> str | None:
    from ultralytics.engine.trainer import BaseTrainer, callbacks

    return first(
        misses(callbacks, "add_integration_callbacks"),
        lacks(BaseTrainer.__init__, "callbacks.add_integration_callbacks(self)"),
    )


@check("check_amp", "training/ultralytics/patches.py replaces it: it downloads weights")
def _() -> str | None:
    from ultralytics.engine import trainer

    return first(
        takes_other(trainer.check_amp, "model"),
        lacks(trainer.BaseTrainer._setup_train, "check_amp(self.model)"),
    )


@check("the GPUs that check_amp refuses", "training/ultralytics/patches.py repeats them: _NO_AMP")
def _() -> str | None:
    from ultralytics.utils.checks import check_amp

    from sweep.training.ultralytics.patches import _NO_AMP

    return lacks(check_amp, _NO_AMP.pattern.partition("(")[2])


@check("NUM_THREADS", "training/ultralytics/patches.py sets it: threads belong to the job")
def _() -> str | None:
    from ultralytics.data import base, dataset
    from ultralytics.utils import torch_utils

    return first(
        lacks(torch_utils.select_device, "torch.set_num_threads(NUM_THREADS)"),
        lacks(base.BaseDataset.cache_images, "ThreadPool(NUM_THREADS)"),
        lacks(dataset.YOLODataset.cache_labels, "ThreadPool(NUM_THREADS)"),
        *(misses(module, "NUM_THREADS") for module in (torch_utils, base, dataset)),
    )


@check("save_dataset_cache_file", "training/ultralytics/patches.py replaces it: trials race")
def _() -> str | None:
    from ultralytics.data import dataset

    return first(
        takes_other(dataset.save_dataset_cache_file, "prefix", "path", "x", "version"),
        lacks(dataset.YOLODataset.cache_labels, "save_dataset_cache_file(self.prefix, path, x, "),
    )


@check(
    "non_max_suppression",
    "evaluation/suppression.py lifts its limit of time by `max_time_img`: else a busy machine "
    "scores less",
)
def _() -> str | None:
    from ultralytics.models.yolo.detect import DetectionValidator
    from ultralytics.utils import nms

    default = inspect.signature(nms.non_max_suppression).parameters.get("max_time_img")
    return first(
        None if default else "it takes no max_time_img",
        lacks(nms.non_max_suppression, "time_limit = 2.0 + max_time_img * bs"),
        lacks(nms.non_max_suppression, "> time_limit:", '"torchvision" in sys.modules'),
        None
        if inspect.getsource(nms).count("time.time()") == 2
        else "another use of the clock in ultralytics/utils/nms.py",
        lacks(DetectionValidator.postprocess, "nms.non_max_suppression("),
    )


@check("verify_image_label", "training/ultralytics/patches.py replaces it: it leaves images out")
def _() -> str | None:
    from ultralytics.data import dataset, utils

    return first(
        takes_other(utils.verify_image_label, "args"),
        lacks(utils.verify_image_label, "im_file, lb_file, prefix", "return [None, None, "),
        lacks(dataset.YOLODataset.verify_args, "verify_image_label"),
    )


@check("_do_train", "training/ultralytics/loop.py overrides it and repeats its steps")
def _() -> str | None:
    from ultralytics.models.yolo.detect import DetectionTrainer

    return first(
        lacks(DetectionTrainer.train, "self._do_train()"),
        lacks(
            DetectionTrainer._do_train,
            "self._setup_train()",
            "nw = self._get_warmup_iterations(nb)",
            "if nw and ni <= nw:",
            "max(1, int(np.interp(ni, xi, [1, acc0]).round()))",
            'self.args.warmup_bias_lr if x.get("param_group") == "bias" else 0.0',
            'x["initial_lr"] * self.lf(epoch)',
            "np.interp(ni, xi, [self.args.warmup_momentum, self.args.momentum])",
            "(self.tloss[k] * i + v) / (i + 1)",
            "self.scaler.scale(self.loss).backward()",
            "if ni - last_opt_step >= self.accumulate:",
            ".criterion.update()",
            'include=["yaml", "nc", "args", "names", "stride", "class_weights"]',
        ),
    )


@check("_setup_train", "training/ultralytics/loop.py calls it, running.py lists what it sets up")
def _(training: Any) -> str | None:
    from sweep.training.ultralytics.running import RunningTraining

    ours = {"job", "reports", "per_class", "batches_per_epoch", "warmup_batches", "last_step"}
    of_the_loop = {"epoch"}
    listed = set(RunningTraining.__annotations__) - ours - of_the_loop
    used = {"lf", "train_loader", "test_loader", "validator", "data", "device", "save_dir"}
    return misses(training, *sorted(listed | used))


@check("_get_warmup_iterations", "training/ultralytics/loop.py calls it")
def _(training: Any) -> str | None:
    found = training._get_warmup_iterations(10)
    return None if found == 30 else f"{found} instead of 30 batches in 3 epochs of 10"


@check("_model_train", "training/ultralytics/loop.py calls it")
def _(training: Any) -> str | None:
    training.model.eval()
    training._model_train()
    return None if training.model.training else "a model that is not in training mode"


@check("_clear_memory", "training/ultralytics/loop.py calls it")
def _() -> str | None:
    from ultralytics.models.yolo.detect import DetectionTrainer

    return takes_other(DetectionTrainer._clear_memory, "threshold")


@check("what trainer methods take", "training/ultralytics/loop.py and detection.py override them")
def _() -> str | None:
    from ultralytics.models.yolo.detect import DetectionTrainer

    expected = {
        "get_dataset": (),
        "build_dataset": ("img_path", "mode", "batch"),
        "get_dataloader": ("dataset_path", "batch_size", "rank", "mode"),
        "setup_model": (),
        "get_model": ("cfg", "weights", "verbose"),
        "preprocess_batch": ("batch",),
        "optimizer_step": (),
        "validate": (),
        "label_loss_items": ("loss_items", "prefix"),
        "save_metrics": ("metrics",),
        "save_model": (),
        "read_results_csv": (),
        "final_eval": (),
    }
    return first(
        misses(DetectionTrainer, *expected),
        *(takes_other(getattr(DetectionTrainer, name), *names) for name, names in expected.items()),
    )


@check("optimizer groups", "training/ultralytics/loop.py reads their keys")
def _(training: Any) -> str | None:
    groups = {group.get("param_group"): set(group) for group in training.optimizer.param_groups}
    keys = {"lr", "initial_lr", "momentum", "weight_decay"}
    if {"weight", "bias"} <= set(groups) and all(keys <= found for found in groups.values()):
        return None
    return str(groups)


@check("the model's loss", "training/ultralytics/loop.py averages it, state.py restores it")
def _(training: Any) -> str | None:
    training.model.train()
    _, items = training.model(training.preprocess_batch(next(iter(training.train_loader))))
    if not (isinstance(items, dict) and set(items) == {"box_loss", "cls_loss", "dfl_loss"}):
        return f"loss items {items}"
    return misses(training.model, "criterion", "init_criterion")


@check("ModelEMA", "training/ultralytics/state.py saves its `updates`, weights.py its `ema`")
def _(training: Any) -> str | None:
    before = getattr(training.ema, "updates", None)
    training.ema.update(training.model)
    if before != 0 or training.ema.updates != 1:
        return f"updates {before} before and {training.ema.updates} after the first"
    return misses(training.ema, "ema", "update_attr")


@check("EarlyStopping", "training/ultralytics/state.py saves what it remembers")
def _(training: Any) -> str | None:
    remembered = {"best_fitness", "best_epoch", "possible_stop"}
    found = set(vars(training.stopper)) - {"patience"}
    return None if found == remembered else f"it remembers {', '.join(sorted(found))}"


@check("signs of an out of memory", "training/ultralytics/trainer.py knows it by them")
def _() -> str | None:
    from ultralytics.models.yolo.detect import DetectionTrainer

    from sweep.training.ultralytics.trainer import _OUT_OF_MEMORY

    theirs = [sign for sign in _OUT_OF_MEMORY if sign != "DefaultCPUAllocator"]  # PyTorch's on CPUs
    return lacks(DetectionTrainer._do_train, *theirs)


@check("strip_optimizer", "training/ultralytics/weights.py writes what it would leave")
def _() -> str | None:
    from ultralytics.utils.torch_utils import strip_optimizer

    emptied = '"optimizer", "best_fitness", "stopper", "ema", "updates", "scaler"'
    return lacks(strip_optimizer, emptied, 'x["model"].half()', 'x["epoch"] = -1')


@check(
    "published weights",
    "training/ultralytics/model_names.py names those of detectors, training/ultralytics/"
    "model_kind.py tells the others by their names, training/ultralytics/pretrained.py downloads",
)
def _() -> str | None:
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES, attempt_download_asset

    from sweep.training.ultralytics import model_kind
    from sweep.training.ultralytics.model_names import ASSETS
    from sweep.training.ultralytics.pretrained import ASSETS_URL

    if unknown := ASSETS - GITHUB_ASSETS_NAMES:
        return f"none called {', '.join(sorted(unknown))}"
    others = {name for name in GITHUB_ASSETS_NAMES - ASSETS if name.endswith(".pt")}
    special = ("-distill", "-objv1", "-grayscale")  # what they are for is not in their names
    untold = [
        name
        for name in others
        if model_kind.of_name(name.removesuffix(".pt")) is None
        and not any(s in name for s in special)
    ]
    if untold:
        return f"what {', '.join(sorted(untold))} are for"
    release = inspect.signature(attempt_download_asset).parameters["release"].default
    return None if ASSETS_URL.endswith(f"/{release}") else f"release {release}"


@check("yaml_model_load", "training/ultralytics/architecture.py finds an architecture as it does")
def _() -> str | None:
    from ultralytics.nn.tasks import guess_model_task, yaml_model_load

    from sweep.training.ultralytics.architecture import architectures, read_architecture, size_of
    from sweep.training.ultralytics.model_kind import DETECTION_HEADS

    for name, path in architectures().items():
        theirs, ours = yaml_model_load(name), read_architecture(path)
        layers = [*theirs["backbone"], *theirs["head"]]
        if (len(layers), layers[-1][2]) != (ours.layers, ours.head):
            return f"{name} as {path.name}"
        if theirs["scale"] and theirs["scale"] != size_of(name):
            return f"the size of {name}"
        if ours.head in DETECTION_HEADS and guess_model_task(theirs) != "detect":
            return f"{name} as a detector"
    return None


@check("YOLO_ variables", "training/process/server_setup.py sets them")
def _() -> str | None:
    from ultralytics import utils

    names = ("CONFIG_DIR", "OFFLINE", "AUTOINSTALL", "VERBOSE")
    return lacks(utils, *(f'"YOLO_{name}"' for name in names))


@check(
    "InfiniteDataLoader",
    "training/image_cache/augmented_images.py counts on an iteration of the sampler for each "
    "epoch, training/ultralytics/detection.py on `close`",
)
def _() -> str | None:
    from torch.utils.data import Sampler
    from ultralytics.data.build import InfiniteDataLoader

    class Counting(Sampler):  # type: ignore[misc]
        epochs = 0

        def __len__(self) -> int:
            return 3

        def __iter__(self) -> Iterator[int]:
            self.epochs += 1
            return iter(range(3))

    sampler = Counting()
    loader = InfiniteDataLoader(dataset=[0, 1, 2], sampler=sampler, batch_size=2)
    batches = [len(list(loader)) for _ in range(2)]
    if (batches, sampler.epochs) != ([2, 2], 2):
        return f"two epochs of {batches} batches ask the sampler {sampler.epochs} times"
    return takes_other(loader.close)


@check(
    "YOLODataset",
    "training/image_cache/augmented_images.py uses its parts, bounds `max_buffer_length` and "
    "replaces `load_image`",
)
def _(training: Any) -> str | None:
    images = training.train_loader.dataset
    names = ("labels", "im_files", "ni", "imgsz", "channels", "cache", "rect", "max_buffer_length")
    if found := misses(images, *names, "collate_fn"):
        return found
    image, *sizes = images.load_image(0)
    images.load_image = lambda *_, **__: (image, *sizes)
    item = images.get_image_and_label(1)
    del images.load_image
    if item["img"] is not image:
        return "get_image_and_label does not ask load_image"
    return takes_other(images.build_transforms, "hyp")


@check('cache="ram"', "training/image_cache/augmented_images.py lets mosaic draw from all by it")
def _() -> str | None:
    from types import SimpleNamespace

    from ultralytics.data.augment import Mosaic

    class Images(SimpleNamespace):
        def __len__(self) -> int:
            return 1000

    drawn = Mosaic(Images(cache="ram", buffer=[7]), imgsz=64).get_indexes()
    buffered = Mosaic(Images(cache=None, buffer=[7]), imgsz=64).get_indexes()
    if set(drawn) != {7} and set(buffered) == {7}:
        return None
    return f"mosaic draws {drawn} with the images in memory, {buffered} with a buffer"


@check("settings of augmentation", "training/image_cache/augmentation.py names all of them")
def _(training: Any) -> str | None:
    import re

    from ultralytics.data.augment import v8_transforms
    from ultralytics.data.dataset import YOLODataset

    from sweep.training.image_cache.augmentation import AUGMENTATION

    sources = map(inspect.getsource, (v8_transforms, YOLODataset.build_transforms))
    read = {name for source in sources for name in re.findall(r'hyp(?:\.|, ")(\w+)', source)}
    unknown = read - set(AUGMENTATION) - {"mask_ratio", "overlap_mask"}  # of masks
    if unknown:
        return f"it reads {', '.join(sorted(unknown))} as well"
    return misses(training.args, *(name for name in AUGMENTATION if name != "augmentations"))


@check("DetectionValidator", "evaluation/inference.py loops over its parts")
def _(training: Any) -> str | None:
    validator = training.validator
    names = ("training", "device", "stride", "names", "data", "dataloader", "jdict", "metrics")
    expected = {
        "get_dataloader": ("dataset_path", "batch_size"),
        "init_metrics": ("model",),
        "preprocess": ("batch",),
        "postprocess": ("preds",),
        "update_metrics": ("preds", "batch"),
        "get_stats": (),
    }
    confidence = validator.args.conf
    return first(
        misses(validator, *names, *expected, "pred_to_json"),
        misses(validator.metrics, "box", "nt_per_class"),
        *(takes_other(getattr(validator, name), *taken) for name, taken in expected.items()),
        lacks(type(validator).pred_to_json, '"image_id"', '"category_id"', '"bbox"', '"score"'),
        None if confidence == 0.001 else f"confidence {confidence} instead of 0.001",
    )


@check("AutoBackend", "evaluation/inference.py loads checkpoints by it")
def _() -> str | None:
    from ultralytics.nn.autobackend import AutoBackend

    found = set(inspect.signature(AutoBackend.__init__).parameters)
    absent = {"model", "device", "verbose", "end2end"} - found
    return f"it takes no {', '.join(sorted(absent))}" if absent else None


@check("default.yaml and CFG_FRACTION_KEYS", "spec/train_settings.py parses their text")
def _() -> str | None:
    from ultralytics.cfg import CFG_BOOL_KEYS, CFG_FRACTION_KEYS, CFG_INT_KEYS, get_cfg

    from sweep.spec.train_settings import legal_settings, validate_setting

    legal = {name: setting.default for name, setting in legal_settings().items()}
    known = {"lr0", "momentum", "weight_decay", "optimizer", "imgsz", "batch"}
    if absent := known - set(legal):
        return f"no {', '.join(sorted(absent))}"
    if (found := get_cfg(overrides={**legal, "optimizer": "SGD"}).lr0) != legal["lr0"]:
        return f"lr0 {found}, read as {legal['lr0']}"
    for keys, wrong, message in (
        (CFG_FRACTION_KEYS, 1.5, "allowed is a number"),
        (CFG_INT_KEYS, 2.5, "whole number"),
        (CFG_BOOL_KEYS, "x", "true or false"),
    ):
        for name in keys & set(legal):
            try:
                validate_setting(name, wrong)
            except ValueError as error:
                if message in str(error):
                    continue
            return f"{name} = {wrong!r} is not refused with '{message}'"
    return None


@pytest.mark.parametrize("what", CHECKS)
def test_ultralytics_still_has(what: str, request: pytest.FixtureRequest) -> None:
    check = CHECKS[what]
    try:
        found = check(*map(request.getfixturevalue, inspect.signature(check).parameters))
    except Exception as error:  # what is gone may show anywhere
        found = f"{type(error).__name__}: {error}"
    if found:
        pytest.fail(changed(what, found))
