"""What of Ultralytics is replaced while it runs.

A trial uses no network, tells no analytics and races with no other trial. All private parts of
Ultralytics that we rely on stand in tests/unit/training/test_ultralytics_private.py.
"""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from ultralytics.data import base as data_base
from ultralytics.data import dataset as data_dataset
from ultralytics.data import utils as data_utils
from ultralytics.engine import trainer as engine_trainer
from ultralytics.utils import LOGGER, callbacks, torch_utils

from sweep.evaluation.suppression import untimed_suppression
from sweep.files.atomic_write import atomic_write

_verify = data_utils.verify_image_label

_NO_AMP = re.compile(r"\b(1660|1650|1630|t400|t550|t600|t1000|t1200|t2000|k40m)", re.IGNORECASE)
"""GPUs whose half precision gives NaN or zero mAP: the list of ultralytics/utils/checks.py."""


@contextmanager
def patched(*, threads: int) -> Iterator[None]:
    """Run Ultralytics in here.

    It looks for no font and no weights to test half precision with, loads no integration, uses
    `threads` CPU threads where it would choose its own number, and writes label caches atomically,
    because trials on one host start on the same dataset at the same moment. No image is left out
    because it could not be read just then, and no box because the machine was busy.
    """
    with ExitStack() as stack:
        stack.enter_context(untimed_suppression())
        for module, name, value in (
            (data_utils, "check_font", lambda *_: None),
            (callbacks, "add_integration_callbacks", lambda *_: None),
            (engine_trainer, "check_amp", _amp_works),
            (torch_utils, "NUM_THREADS", threads),
            (data_base, "NUM_THREADS", threads),
            (data_dataset, "NUM_THREADS", threads),
            (data_dataset, "save_dataset_cache_file", _save_label_cache),
            (data_dataset, "verify_image_label", _verify_image_label),
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


def _verify_image_label(task: tuple[Any, ...]) -> tuple[Any, ...] | list[Any]:
    """Stand for Ultralytics' function of this name, which leaves out what it cannot read.

    What is wrong with an image or its labels is the same for every trial. That the disk was away,
    or a limit on open files reached, is not: the trial would train and be judged on fewer images.

    Raises:
        OSError: If a file cannot be read.
    """
    found: tuple[Any, ...] | list[Any] = _verify(task)
    if found[0] is None:
        image, labels = Path(task[0]), Path(task[1])
        image.read_bytes()
        if labels.exists():
            labels.read_bytes()
        found = _verify(task)  # for what is in the files
    return found
