"""The trainer that makes its metrics up."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from sweep.testing import instant_trainer, made_up_epoch
from sweep.training.contract import (
    Decision,
    EpochReport,
    Scalar,
    TrainingFailed,
    TrainingStopped,
    TrialJob,
    TrialResult,
)


def train(
    params: Mapping[str, Scalar], decision: Decision = Decision.CONTINUE, **changes: object
) -> tuple[list[EpochReport], TrialResult]:
    reports: list[EpochReport] = []

    def on_epoch(report: EpochReport) -> Decision:
        reports.append(report)
        return decision

    fields = {"epochs": 5, "settings": {}, "seed": 0, "attempt": 1, **changes}
    job = TrialJob(
        sweep="s",
        slot=1,
        params=params,
        dataset=None,
        run_folder=Path("never made"),
        model="none",
        **fields,  # type: ignore[arg-type]
    )
    return reports, instant_trainer(job, on_epoch)


def test_the_same_job_gives_the_same_metrics() -> None:
    assert train({"lr0": 0.003, "optimizer": "Adam"}) == train({"lr0": 0.003, "optimizer": "Adam"})


def test_the_result_is_made_of_the_epochs() -> None:
    reports, result = train({"lr0": 0.01, "optimizer": "SGD", "momentum": 0.5})
    assert [report.epoch for report in reports] == [1, 2, 3, 4, 5]
    assert result.map50_95 == max(report.map50_95 for report in reports)
    assert result.last_map50 == reports[-1].map50
    assert result.effective == {"optimizer": "SGD", "lr0": 0.01, "momentum": 0.5}
    assert {metrics.name for metrics in result.per_class} == {"easy", "hard"}


def test_metrics_depend_on_what_is_searched() -> None:
    def final(seed: int = 0, **params: Scalar) -> float:
        return made_up_epoch(params, seed=seed, epoch=5).map50

    assert final(optimizer="SGD", lr0=0.01) > final(optimizer="SGD", lr0=0.0001)
    assert final(optimizer="SGD", lr0=0.01) > final(optimizer="Adam", lr0=0.01)
    assert final(momentum=0.6) > final(momentum=0.1)
    assert final(seed=1) != final(seed=2)


def test_a_decision_is_obeyed() -> None:
    with pytest.raises(TrainingStopped) as stopped:
        train({}, Decision.PRUNE)
    assert stopped.value.decision is Decision.PRUNE


def test_a_fault_strikes_in_its_epoch_and_attempts_only() -> None:
    oom = {"fault": "oom", "fault_epoch": 3, "fault_attempts": 2}
    with pytest.raises(TrainingFailed, match="oom"):
        train({}, settings=oom, attempt=2)
    assert train({}, settings=oom, attempt=3)[1].epochs == 5
    assert train({}, settings=oom, epochs=2)[1].epochs == 2


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="none of crash, oom"):
        train({}, settings={"fault": "fire"})
