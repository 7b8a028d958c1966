"""Baseline and best on the split they are judged on: scores by both judges, class by class."""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import plotly.graph_objects as go

from sweep.evaluation.result import Evaluation
from sweep.pages import theme
from sweep.report.trials import METRICS, Metric
from sweep.stages.retrain import BASELINE, BEST

ULTRALYTICS, COCO = "Ultralytics", "pycocotools"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One number of both models; None where a model or the number is missing."""

    baseline: float | None = None
    best: float | None = None

    @property
    def difference(self) -> float | None:
        """Best less baseline."""
        if self.baseline is None or self.best is None:
            return None
        return self.best - self.baseline


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score over all classes."""

    name: str
    judge: str
    pair: Pair


@dataclass(frozen=True, kw_only=True)
class ClassScore:
    """A class's average precision by Ultralytics; None where the split has no box of it."""

    name: str
    boxes: int
    map50: Pair
    map50_95: Pair


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Both models on the same split."""

    split: str
    images: int
    scores: tuple[Score, ...]
    classes: tuple[ClassScore, ...]


def comparison(judged: Mapping[str, Evaluation]) -> Comparison | None:
    """Compare the evaluations labelled `baseline` and `best`; None where there is neither."""
    known = judged.get(BEST) or judged.get(BASELINE)
    if known is None:
        return None
    scores = [
        Score(name=metric.title, judge=judge, pair=_pair(judged, f"{field}.{metric.key}"))
        for metric in METRICS
        for judge, field in ((ULTRALYTICS, "ultralytics"), (COCO, "coco"))
    ]
    scores += [
        Score(name=name, judge=ULTRALYTICS, pair=_pair(judged, name))
        for name in ("precision", "recall")
    ]
    return Comparison(
        split=known.split,
        images=known.images,
        scores=tuple(scores),
        classes=tuple(
            ClassScore(
                name=scores_of.name,
                boxes=scores_of.boxes,
                map50=_pair(parts, "ap50"),
                map50_95=_pair(parts, "ap"),
            )
            for place, scores_of in enumerate(known.per_class)
            for parts in [{label: found.per_class[place] for label, found in judged.items()}]
        ),
    )


def _pair(found: Mapping[str, Any], number: str) -> Pair:
    return Pair(**{label: attrgetter(number)(part) for label, part in found.items()})


MOST_CLASSES = 30
"""Bars of more cannot be told apart."""


def most_different(found: Comparison, metric: Metric) -> list[ClassScore]:
    """Return the classes with boxes; of very many those where the models differ most."""
    classes = [score for score in found.classes if score.boxes]
    if len(classes) <= MOST_CLASSES:
        return classes

    def gap(score: ClassScore) -> float:
        difference = getattr(score, metric.key).difference
        return abs(difference) if difference is not None else score.boxes

    chosen = sorted(classes, key=gap, reverse=True)[:MOST_CLASSES]
    return [score for score in classes if score in chosen]


def draw_classes(found: Comparison, metric: Metric) -> go.Figure:
    """Draw each class's average precision, baseline beside best."""
    classes = most_different(found, metric)
    names = [score.name for score in classes]
    average = metric.title.removeprefix("m")
    some = sum(score.boxes > 0 for score in found.classes) > len(classes)
    drawing = theme.figure(
        title=f"{average} by class" + (f", {len(classes)} with the widest gap" if some else ""),
        x=theme.places("", names),
        y=theme.axis(average, rangemode="tozero"),
        barmode="group",
        bargap=0.25,
        legend="above",
    )
    for label, colour in ((BASELINE, theme.MUTED), (BEST, theme.ACCENT)):
        values = [getattr(getattr(score, metric.key), label) for score in classes]
        if all(value is None for value in values):
            continue
        drawing.add_bar(
            x=list(range(len(names))),
            y=values,
            name=label,
            marker={"color": colour},
            customdata=[theme.words(name) for name in names],
            hovertemplate=f"%{{customdata}}, {label}: %{{y:.3f}}<extra></extra>",
        )
    return drawing
