"""Judge a checkpoint on a split, by Ultralytics and by pycocotools, in one pass."""

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np

from sweep import paths
from sweep.data.prepared import SPLITS, PreparedDataset, Split
from sweep.errors import InputError, nearest
from sweep.evaluation.coco import CocoPrecision, coco_precision
from sweep.evaluation.confusion import CONFIDENCE, confusion_matrix
from sweep.evaluation.inference import Inference, infer
from sweep.evaluation.result import ClassScores, Evaluation, PrecisionRecall, Scores
from sweep.files.atomic_write import write_file, write_json

RECALL = np.linspace(0, 1, 101)
"""Where the precision-recall curves are read: the points that COCO interpolates at."""


def evaluate(
    checkpoint: Path,
    dataset: PreparedDataset,
    *,
    split: str,
    out: Path,
    imgsz: int,
    batch: int,
    device: str,
    only_classes: Collection[int] | None = None,
) -> Evaluation:
    """Judge `checkpoint` on a split and write `predictions.json`, then `evaluation.json`.

    Args:
        checkpoint: Weights in Ultralytics' format (`best.pt`).
        dataset: The dataset the weights were trained on.
        split: Which of its splits to judge on: `train`, `val`, `test`.
        out: Folder to write into; made if missing. A file there is whole or absent.
        imgsz: Side of the network's input, px.
        batch: Images at once; those of different shapes are padded to the largest of a batch.
        device: As PyTorch names it: `cpu`, `cuda:0`.
        only_classes: Numbers of the classes that the model was trained on (`classes` among its
            settings): boxes of others are no truth. None: all.

    Raises:
        InputError: If the split does not exist or has no image or no box (an average precision
            is undefined there), or if the checkpoint's classes are not the dataset's.
    """
    checked = _checked(dataset, split)
    truth = json.loads(dataset.annotations(checked).read_text())
    if only_classes is not None:
        truth["annotations"] = [
            box for box in truth["annotations"] if box["category_id"] - 1 in only_classes
        ]
    out.mkdir(parents=True, exist_ok=True)
    inference = infer(
        checkpoint,
        dataset,
        split=checked,
        scratch=out,
        imgsz=imgsz,
        batch=batch,
        device=device,
        only_classes=only_classes,
    )
    predictions = out / paths.PREDICTIONS
    write_json(predictions, inference.predictions)
    metrics, classes = inference.metrics, dataset.classes
    coco = coco_precision(truth, inference.predictions, len(classes))
    evaluation = Evaluation(
        split=split,
        images=len(truth["images"]),
        checkpoint=checkpoint,
        classes=classes,
        ultralytics=Scores(map50=float(metrics.map50), map50_95=float(metrics.map)),
        precision=float(metrics.mp),
        recall=float(metrics.mr),
        coco=coco.scores,
        per_class=_per_class(inference, coco, classes),
        confusion=confusion_matrix(truth, inference.predictions, len(classes)),
        confusion_confidence=CONFIDENCE,
        curves=tuple(
            PrecisionRecall(
                name=classes[number],
                recall=tuple(RECALL.tolist()),
                precision=tuple(np.interp(RECALL, metrics.px, precision).tolist()),
            )
            for number, precision in zip(metrics.ap_class_index, metrics.prec_values, strict=True)
        ),
        predictions=predictions,
    )
    write_file(out / paths.EVALUATION, evaluation.model_dump_json(indent=1).encode())
    return evaluation


def _per_class(
    inference: Inference, coco: CocoPrecision, classes: tuple[str, ...]
) -> tuple[ClassScores, ...]:
    metrics = inference.metrics
    place = {int(number): row for row, number in enumerate(metrics.ap_class_index)}
    return tuple(
        ClassScores(
            name=name,
            boxes=inference.boxes_per_class[number],
            ap50=float(metrics.ap50[place[number]]) if number in place else None,
            ap=float(metrics.ap[place[number]]) if number in place else None,
            coco_ap50=coco.ap50[number],
            coco_ap=coco.ap[number],
        )
        for number, name in enumerate(classes)
    )


def _checked(dataset: PreparedDataset, split: str) -> Split:
    """Return `split` if a model can be judged on it.

    Raises:
        InputError: If not.
    """
    checked = next((known for known in SPLITS if known == split), None)
    if checked is None:
        raise InputError(f"{dataset.path}: no split '{split}': {nearest(split, SPLITS)}")
    for what, count in (("image", dataset.images_per_split), ("box", dataset.boxes_per_split)):
        if not count.get(checked):
            raise InputError(
                f"{dataset.path}: the split '{split}' has no {what}, so no model can be "
                "judged on it; give it a larger part under `split:` and prepare again"
            )
    return checked
