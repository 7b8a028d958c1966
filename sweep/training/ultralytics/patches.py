"""The private parts of Ultralytics: all that we rely on, and what is replaced while it runs.

Replaced are its habits: a trial uses no network, tells no analytics and races with no other trial.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from torch import nn
from ultralytics.data import base as data_base
from ultralytics.data import dataset as data_dataset
from ultralytics.data import utils as data_utils
from ultralytics.engine import trainer as engine_trainer
from ultralytics.utils import LOGGER, callbacks, torch_utils

from sweep.files.atomic_write import atomic_write

RELIED_ON: Mapping[str, str] = MappingProxyType(
    {
        "check_font": "training/ultralytics/patches.py replaces it: it downloads fonts",
        "add_integration_callbacks": "training/ultralytics/patches.py replaces it: it reports",
        "check_amp": "training/ultralytics/patches.py replaces it: it downloads weights",
        "the GPUs that check_amp refuses": "training/ultralytics/patches.py repeats them: _NO_AMP",
        "NUM_THREADS": "training/ultralytics/patches.py sets it: threads belong to the job",
        "save_dataset_cache_file": "training/ultralytics/patches.py replaces it: trials race",
        "_do_train": "training/ultralytics/loop.py overrides it and repeats its steps",
        "_setup_train": "training/ultralytics/loop.py calls it, running.py lists what it sets up",
        "_get_warmup_iterations": "training/ultralytics/loop.py calls it",
        "_model_train": "training/ultralytics/loop.py calls it",
        "_clear_memory": "training/ultralytics/loop.py calls it",
        "what trainer methods take": "training/ultralytics/loop.py and detection.py override them",
        "optimizer groups": "training/ultralytics/loop.py reads their keys",
        "the model's loss": "training/ultralytics/loop.py averages it, state.py restores it",
        "ModelEMA": "training/ultralytics/state.py saves its `updates`, weights.py its `ema`",
        "EarlyStopping": "training/ultralytics/state.py saves what it remembers",
        "signs of an out of memory": "training/ultralytics/trainer.py knows it by them",
        "strip_optimizer": "training/ultralytics/weights.py writes what it would leave",
        "published weights": "training/ultralytics/pretrained.py names and downloads them",
        "yaml_model_load": "training/ultralytics/pretrained.py finds an architecture as it does",
        "YOLO_ variables": "training/process/server_setup.py sets them",
        "InfiniteDataLoader": "training/image_cache/augmented_images.py counts on an iteration of "
        "the sampler for each epoch, training/ultralytics/detection.py on `close`",
        "YOLODataset": "training/image_cache/augmented_images.py uses its parts, bounds "
        "`max_buffer_length` and replaces `load_image`",
        'cache="ram"': "training/image_cache/augmented_images.py lets mosaic draw from all by it",
        "settings of augmentation": "training/image_cache/augmentation.py names all of them",
        "DetectionValidator": "evaluation/inference.py loops over its parts",
        "AutoBackend": "evaluation/inference.py loads checkpoints by it",
        "default.yaml and CFG_FRACTION_KEYS": "spec/train_settings.py parses their text",
    }
)
"""What is no public interface of Ultralytics, and who relies on it, below `sweep/`.

tests/unit/training/test_ultralytics_private.py holds the installed version to each of them.
"""

_NO_AMP = re.compile(r"\b(1660|1650|1630|t400|t550|t600|t1000|t1200|t2000|k40m)", re.IGNORECASE)
"""GPUs whose half precision gives NaN or zero mAP: the list of ultralytics/utils/checks.py."""


@contextmanager
def patched(*, threads: int) -> Iterator[None]:
    """Run Ultralytics in here.

    It looks for no font and no weights to test half precision with, loads no integration, uses
    `threads` CPU threads where it would choose its own number, and writes label caches atomically,
    because trials on one host start on the same dataset at the same moment.
    """
    with ExitStack() as stack:
        for module, name, value in (
            (data_utils, "check_font", lambda *_: None),
            (callbacks, "add_integration_callbacks", lambda *_: None),
            (engine_trainer, "check_amp", _amp_works),
            (torch_utils, "NUM_THREADS", threads),
            (data_base, "NUM_THREADS", threads),
            (data_dataset, "NUM_THREADS", threads),
            (data_dataset, "save_dataset_cache_file", _save_label_cache),
        ):
            stack.enter_context(_replaced(module, name, value))
        for logger in (LOGGER, *LOGGER.handlers):
            logger.setLevel(logging.INFO)
        yield


@contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)


def _amp_works(model: nn.Module) -> bool:
    """Stand for Ultralytics' `check_amp`, which downloads weights to try it."""
    device = next(model.parameters()).device
    if device.type != "cuda":
        return False
    return not _NO_AMP.search(torch_utils.get_gpu_info(device.index or 0).partition(",")[0])


def _save_label_cache(prefix: str, path: Path, labels: dict[str, Any], version: str) -> None:
    """Stand for Ultralytics' function of this name, which removes the file before it writes it."""
    labels["version"] = version
    if not os.access(path.parent, os.W_OK):
        LOGGER.warning(f"{prefix}{path.parent} is not writable, labels are scanned in every trial")
        return
    with atomic_write(path) as file:
        np.save(file, labels)  # type: ignore[arg-type]
