"""Baseline and best on the test split: scores by both judges, class by class."""

from collections.abc import Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from sweep.evaluation.result import Evaluation
from sweep.pages import theme
from sweep.report.trials import MAP50, METRICS, Metric
from sweep.stages.retrain import BASELINE, BEST

ULTRALYTICS, COCO = "Ultralytics", "pycocotools"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One number of both models; None where a model or the number is missing."""

    baseline: float | None
    best: float | None

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

    def pair(self, metric: Metric) -> Pair:
        """Return the class's pair for a metric."""
        return self.map50 if metric is MAP50 else self.map50_95


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Both models on the same split."""

    split: str
    images: int
    scores: tuple[Score, ...]
    classes: tuple[ClassScore, ...]


def comparison(judged: Mapping[str, Evaluation]) -> Comparison | None:
    """Compare the evaluations labelled `baseline` and `best`; None where there is neither."""
    baseline, best = judged.get(BASELINE), judged.get(BEST)
    known = best or baseline
    if known is None:
        return None
    scores = [
        Score(
            name=metric.title,
            judge=judge,
            pair=Pair(
                baseline=_overall(baseline, judge, metric), best=_overall(best, judge, metric)
            ),
        )
        for metric in METRICS
        for judge in (ULTRALYTICS, COCO)
    ]
    scores += [
        Score(
            name=name,
            judge=ULTRALYTICS,
            pair=Pair(
                baseline=None if baseline is None else getattr(baseline, name),
                best=None if best is None else getattr(best, name),
            ),
        )
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
                map50=_class_pair(baseline, best, place, "ap50"),
                map50_95=_class_pair(baseline, best, place, "ap"),
            )
            for place, scores_of in enumerate(known.per_class)
        ),
    )


def _overall(evaluation: Evaluation | None, judge: str, metric: Metric) -> float | None:
    if evaluation is None:
        return None
    scores = evaluation.ultralytics if judge == ULTRALYTICS else evaluation.coco
    return float(getattr(scores, metric.key))


def _class_pair(
    baseline: Evaluation | None, best: Evaluation | None, place: int, field: str
) -> Pair:
    return Pair(
        baseline=None if baseline is None else getattr(baseline.per_class[place], field),
        best=None if best is None else getattr(best.per_class[place], field),
    )


def draw_classes(found: Comparison, metric: Metric) -> go.Figure:
    """Draw each class's average precision, baseline beside best."""
    classes = [score for score in found.classes if score.boxes]
    average = metric.title.removeprefix("m")
    drawing = theme.figure(
        title=f"{average} by class",
        x=theme.axis("", type="category", showgrid=False),
        y=theme.axis(average, rangemode="tozero"),
        barmode="group",
        bargap=0.25,
        legend="above",
    )
    for label, colour in ((BASELINE, theme.MUTED), (BEST, theme.ACCENT)):
        values = [getattr(score.pair(metric), label) for score in classes]
        if all(value is None for value in values):
            continue
        drawing.add_bar(
            x=[score.name for score in classes],
            y=values,
            name=label,
            marker={"color": colour},
            hovertemplate=f"%{{x}}, {label}: %{{y:.3f}}<extra></extra>",
        )
    return drawing
