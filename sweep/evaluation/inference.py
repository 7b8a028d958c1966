"""One pass of a checkpoint over a split, with Ultralytics' own validator."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ultralytics.models.yolo.detect import DetectionValidator
from ultralytics.nn.autobackend import AutoBackend
from ultralytics.utils.metrics import Metric

from sweep.data.prepared import PreparedDataset, Split
from sweep.errors import InputError
from sweep.evaluation.suppression import untimed_suppression


@dataclass(frozen=True, kw_only=True)
class Inference:
    """What a model found, and how Ultralytics scores it."""

    metrics: Metric
    boxes_per_class: tuple[int, ...]
    """Ground-truth boxes; the index is the class."""
    predictions: tuple[dict[str, Any], ...]
    """COCO results of all boxes: image_id, category_id (class + 1), bbox xywh in px, score."""


def infer(
    checkpoint: Path,
    dataset: PreparedDataset,
    *,
    split: Split,
    scratch: Path,
    imgsz: int,
    batch: int,
    device: str,
    only_classes: Collection[int] | None,
) -> Inference:
    """Run `checkpoint` over `split` as `yolo val` does, at confidence 0.001.

    The loop over the validator's parts is ours: calling the validator would look for fonts and
    report to analytics over the network, and may install a package to judge the predictions.

    Args:
        checkpoint: Weights in Ultralytics' format.
        dataset: The dataset the weights were trained on.
        split: Which of its splits to judge; it has images.
        scratch: Folder the validator may write to.
        imgsz: Side of the network's input, px.
        batch: Images at once.
        device: As PyTorch names it: `cpu`, `cuda:0`.
        only_classes: Numbers of the classes whose boxes are the truth; None for all.

    Raises:
        InputError: If the checkpoint's classes are not the dataset's.
    """
    model = AutoBackend(
        model=str(checkpoint), device=torch.device(device), verbose=False, end2end=False
    )
    model.eval()
    names = tuple(model.names[number] for number in sorted(model.names))
    if names != dataset.classes:
        raise InputError(
            f"{checkpoint}: trained on the classes {', '.join(names)}, but {dataset.path} has "
            f"{', '.join(dataset.classes)}; judge it on the dataset it was trained on"
        )
    validator = DetectionValidator(
        save_dir=scratch,
        args={
            "model": str(checkpoint),
            "data": str(dataset.data_yaml),
            "mode": "val",
            "split": split,
            "imgsz": imgsz,
            "batch": batch,
            "classes": None if only_classes is None else list(only_classes),
            "rect": True,
            "workers": 0,
            "plots": False,
            "save_json": True,
        },
    )
    validator.training = False
    validator.device = model.device
    validator.stride = model.stride
    validator.names = model.names
    validator.data = {"names": model.names, "nc": len(names), "channels": 3}
    validator.dataloader = validator.get_dataloader(str(dataset.images(split)), batch)
    validator.init_metrics(model)
    with torch.inference_mode(), untimed_suppression():
        for loaded in validator.dataloader:
            images = validator.preprocess(loaded)
            validator.update_metrics(validator.postprocess(model(images["img"])), images)
    validator.get_stats()
    return Inference(
        metrics=validator.metrics.box,
        boxes_per_class=tuple(int(count) for count in validator.metrics.nt_per_class),
        predictions=tuple(
            {key: box[key] for key in ("image_id", "category_id", "bbox", "score")}
            for box in validator.jdict
        ),
    )
