"""Legal training settings."""

import subprocess
import sys

import pytest

from sweep.spec.allowed_values import LISTS, OPTIMIZERS
from sweep.spec.train_settings import legal_settings, validate_setting


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr0", 0.01),
        ("lr0", 1),
        ("momentum", 0.0),
        ("momentum", 0.937),
        ("batch", 1),
        ("imgsz", 640),
        ("optimizer", "AdamW"),
        ("cache", "ram"),
        ("freeze", None),
        ("freeze", 10),
        ("close_mosaic", 0),
        ("warmup_epochs", 0.15),
        ("patience", 0),
        ("freeze", [0, 1, 2]),
        ("freeze", [0, "22.cv2"]),
        ("classes", [0, 3]),
        ("classes", 0),
        ("scale", [0.5, 1.5]),
        ("fraction", [0.5, 0.5]),
        ("fraction", [0.5, 1]),
    ],
)
def test_legal_settings_pass(name: str, value: object) -> None:
    validate_setting(name, value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("learning_rate", 0.1, "no training setting"),
        ("weight_decy", 0.1, "did you mean 'weight_decay'?"),
        ("mask_ratio", 4, "no training setting of a detector"),
        ("lr0", 0, r"in \(0, 1\]"),
        ("lr0", -0.1, r"in \(0, 1\]"),
        ("lr0", 2.0, r"in \(0, 1\]"),
        ("lr0", float("nan"), r"in \(0, 1\]"),
        ("lr0", "0.01", "write it without quotes"),
        ("lr0", True, "allowed is a number"),
        ("lr0", None, "is empty"),
        ("momentum", 1.0, r"in \[0, 1\)"),
        ("batch", 0, "at least 1"),
        ("batch", -1, "AutoBatch"),
        ("batch", 0.7, "a whole number"),
        ("imgsz", 100, "use 96 or 128"),
        ("imgsz", 16, "at least 32"),
        ("mosaic", 1.5, r"in \[0, 1\]"),
        ("cos_lr", 1, "true or false"),
        ("cos_lr", "yes", "true or false"),
        ("freeze", [], "the numbers of layers from 0"),
        ("freeze", [0, -1], "the numbers of layers from 0"),
        ("freeze", [0, 0], "each once"),
        ("freeze", [True], "the numbers of layers from 0"),
        ("freeze", "[0,1]", "without quotes"),
        ("classes", ["car"], "the numbers of classes from 0"),
        ("scale", [1.5, 0.5], "the smallest and the largest factor"),
        ("scale", [0.5], "the smallest and the largest factor"),
        ("fraction", [0.5, 0], "the parts of the train and the val split"),
        ("fraction", [0.5, 0.5, 0.5], "the parts of the train and the val split"),
        ("imgsz", [640, 320], "allowed is a whole number"),
        ("lr0", [0.1], "write 0.1 without brackets"),
        ("cos_lr", None, "for the default, false"),
        ("optimizer", "auto", "ignores lr0 and momentum"),
        ("optimizer", "adamw", "write 'AdamW'"),
        ("optimizer", "Adamw2", "did you mean"),
        ("amp", "bf16", "`precision:`"),
        ("cache", "disk", "use 'ram'"),
        ("epochs", 5, "under `search:` or `retrain:`"),
        ("data", "coco8.yaml", "`dataset:`"),
        ("model", "yolov8n.pt", "`model:`"),
        ("device", "cpu", "--device"),
        ("seed", 3, "seed"),
        ("plots", True, "report"),
        ("resume", True, "goes on by itself"),
        ("single_cls", True, "dataset file"),
        ("channels_last", True, "memory_format"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(name: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        validate_setting(name, value)
    assert f"'{name}'" in str(error.value)
    assert "\n" not in str(error.value)


def test_every_default_but_the_optimizer_is_legal() -> None:
    for name, setting in legal_settings().items():
        if name != "optimizer":
            validate_setting(name, setting.default)


def test_every_setting_that_may_be_a_list_has_its_rule() -> None:
    may_be = {name for name, setting in legal_settings().items() if "list" in setting.types}
    assert may_be == set(LISTS)


def test_ultralytics_is_not_imported() -> None:
    code = (
        "import sys; from sweep.spec.train_settings import *; validate_setting('lr0', 0.1);"
        "assert not {'torch', 'ultralytics', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_every_optimizer_can_be_built() -> None:
    from types import SimpleNamespace

    from torch import nn
    from ultralytics.engine.trainer import BaseTrainer

    model = nn.Module()
    model.model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8))
    for name in OPTIMIZERS:
        built = BaseTrainer.build_optimizer(SimpleNamespace(), model, name=name)
        assert type(built).__name__ == name
