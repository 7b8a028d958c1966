"""How much each searched setting decides a score: fANOVA over the completed trials."""

import contextlib
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

from sweep.pages import theme
from sweep.report.trials import Metric, Trial
from sweep.spec.space import Parameter, distributions

FEWEST_TRIALS = 8
"""With fewer completed trials an estimate says nothing."""
FEW_TRIALS = 30
"""With fewer completed trials an estimate is rough."""
MOST_TRIALS = 200
"""Of more trials a sample is taken: the estimate takes a time that grows with their square."""
_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Shares of the settings in how much the score varies over the searched space."""

    metric: Metric
    trials: int
    """Completed trials with a score."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Sum 1, largest first; empty where there are none. Conditional settings have none."""
    missing: str = ""
    """Why there are none; empty where there are."""


def importance(
    trials: Sequence[Trial], space: Mapping[str, Parameter], metric: Metric
) -> Importance:
    """Compute fANOVA importances (Hutter et al., ICML 2014) with Optuna.

    The trials are put into a study in memory; the sweep's own study is not needed.
    """
    scored = [(trial, score) for trial in trials if (score := trial.score(metric)) is not None]
    trials_scored = len(scored)
    missing = _missing([score for _, score in scored], space)
    if missing:
        return Importance(metric=metric, trials=trials_scored, missing=missing)

    if len(scored) > MOST_TRIALS:
        scored = random.Random(_SEED).sample(scored, MOST_TRIALS)

    import optuna

    known = distributions(space)
    with _quiet():
        study = optuna.create_study(direction="maximize")
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params=dict(trial.params),
                    distributions={name: known[name] for name in trial.params},
                    value=score,
                )
                for trial, score in scored
            ]
        )
        shares = optuna.importance.get_param_importances(
            study,
            evaluator=optuna.importance.FanovaImportanceEvaluator(seed=_SEED),
        )
    return Importance(metric=metric, trials=trials_scored, shares=shares)


def _missing(scores: Sequence[float], space: Mapping[str, Parameter]) -> str:
    """Say why there is no estimate; empty where there is one."""
    if len(space) < 2:
        return "only one setting is searched"
    if len(scores) < FEWEST_TRIALS:
        return f"{len(scores)} completed trials; an estimate needs at least {FEWEST_TRIALS}"
    above = sum(score > 0 for score in scores)
    if above < FEWEST_TRIALS:
        return (
            f"{above} of {len(scores)} completed trials scored above 0; an estimate needs at least "
            f"{FEWEST_TRIALS}"
        )
    if len(set(scores)) == 1:
        return "every trial has the same score"
    return ""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from announcing the study in memory."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def draw_importance(found: Importance) -> go.Figure:
    """Draw the shares as horizontal bars, the largest on top."""
    names = list(found.shares)[::-1]
    values = [found.shares[name] for name in names]
    drawing = theme.figure(
        title=f"Importance for {found.metric.title}",
        x=theme.axis("share of importance", range=[0, 1.12 * max(values)], tickformat=".0%"),
        y=theme.places("", names),
        height=130 + 34 * len(names),
    )
    drawing.add_bar(
        x=values,
        y=list(range(len(names))),
        orientation="h",
        marker={"color": theme.ACCENT},
        text=[f"{value:.0%}" for value in values],
        textposition="outside",
        cliponaxis=False,
        customdata=[theme.words(name) for name in names],
        hovertemplate="%{customdata}: %{x:.1%}<extra></extra>",
    )
    return drawing
