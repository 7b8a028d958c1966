"""The report's numbers as CSV, named as in the published study."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from storage.snapshot.records import SweepRecord
from sweep.files.atomic_write import write_file
from sweep.report.data import ReportData, read
from sweep.report.figures.heatmaps import OPTIMIZER, Heatmap, heatmaps
from sweep.report.trials import METRICS, SCORES, Trial

Table = list[list[Any]]
"""Rows of a table, the first one its header; None is an empty cell."""


def write_tables(sweep: SweepRecord, out: Path) -> list[Path]:
    """Write a sweep's tables into the folder `out`; return their paths.

    `SGD_50.csv`, `SGD_50-95.csv`, …: one optimizer's mAP50 and mAP50-95, rows learning rate,
    columns momentum or beta1 (where the sweep searches these over listed values); `trials.csv`
    and `epochs.csv`: everything. A file there is whole or absent.
    """
    return write(csv_tables(read(sweep)), out)


def write(tables: Mapping[str, Table], out: Path) -> list[Path]:
    """Write each table under its name into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, rows in tables.items():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        write_file(out / name, text.getvalue().encode())
        paths.append(out / name)
    return paths


def csv_tables(data: ReportData) -> dict[str, Table]:
    """Return all tables by file name."""
    fixed = data.sweep.spec.get("train", {}).get(OPTIMIZER)
    tables = {}
    for metric in METRICS:
        for found in heatmaps(data.search, data.space, metric, fixed).maps:
            tables[f"{(found.optimizer or 'all').upper()}_{metric.suffix}.csv"] = grid(found)
    tables["trials.csv"] = trials_table(data.trials)
    tables["epochs.csv"] = epochs_table(data.trials)
    return tables


def grid(found: Heatmap) -> Table:
    """Return a heatmap's values; the first header names rows and columns."""
    header = [f"{found.row_name}/{found.column_title}", *found.columns]
    return [
        header,
        *(
            [row, *(cell.value for cell in line)]
            for row, line in zip(found.rows, found.cells, strict=True)
        ),
    ]


def trials_table(trials: Sequence[Trial]) -> Table:
    """Return one row for each trial of every stage, one column for each setting."""
    params = _names(trial.params for trial in trials)
    effective = _names(trial.result.get("effective", {}) for trial in trials)
    return [
        [
            *("stage", "trial", "label", "state"),
            *params,
            *SCORES,
            *("epochs", "seconds", "attempts", "worker", "failure", "message"),
            *(f"effective_{name}" for name in effective),
        ],
        *(
            [
                *(trial.stage, trial.slot.trial_number, trial.slot.label, trial.state.value),
                *(trial.params.get(name) for name in params),
                *(trial.result.get(name) for name in SCORES),
                *(len(trial.epochs), round(trial.seconds, 3), trial.slot.attempt),
                *(trial.slot.worker, trial.slot.failure_kind, trial.slot.message),
                *(trial.result.get("effective", {}).get(name) for name in effective),
            ]
            for trial in trials
        ),
    ]


def epochs_table(trials: Sequence[Trial]) -> Table:
    """Return one row for each epoch of every trial."""
    reports = [epoch.report for trial in trials for epoch in trial.epochs]
    losses = _names(report.get("losses", {}) for report in reports)
    rates = _names(report.get("lr", {}) for report in reports)
    scalars = ("precision", "recall", "seconds")
    return [
        ["stage", "trial", "label", "epoch", "map50", "map50_95", *scalars, *losses, *rates],
        *(
            [
                *(trial.stage, trial.slot.trial_number, trial.slot.label),
                *(epoch.epoch, epoch.map50, epoch.map50_95),
                *(epoch.report.get(name) for name in scalars),
                *(epoch.report.get("losses", {}).get(name) for name in losses),
                *(epoch.report.get("lr", {}).get(name) for name in rates),
            ]
            for trial in trials
            for epoch in trial.epochs
        ),
    ]


def _names(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return every key once, in the order of appearance."""
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))
