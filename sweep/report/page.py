"""The report as one HTML file that opens without a network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from storage.snapshot.records import SweepRecord
from sweep.files.atomic_write import write_file
from sweep.pages.document import Section, document
from sweep.paths import REPORT_PAGE, REPORT_TABLES
from sweep.report.data import ReportData, read
from sweep.report.sections.models import gallery_section, judgement_section, retrain_section
from sweep.report.sections.record import provenance_section, trial_section, verdict_section
from sweep.report.sections.search import curve_section, heatmap_section, importance_section
from sweep.report.tables import csv_tables, write

SECTIONS: dict[str, tuple[str, Callable[[ReportData], dict[str, Any] | None]]] = {
    "verdict": ("Result", verdict_section),
    "heatmaps": ("Settings", heatmap_section),
    "curves": ("Curves", curve_section),
    "importance": ("Importance", importance_section),
    "retraining": ("Retraining", retrain_section),
    "test": ("Test", judgement_section),
    "gallery": ("Pictures", gallery_section),
    "trials": ("Trials", trial_section),
    "provenance": ("Provenance", provenance_section),
}
"""Anchor and template of each section, what the bar at the top calls it, and its content.

A section that has nothing to show has no content and is left out; the head says why.
"""


def build_report(sweep: SweepRecord, out: Path) -> Path:
    """Write `report.html` and the CSV tables below `out`; return the page's path.

    A sweep that is not finished gets a report that says what is missing. Files that the record
    points to and that are not here (another machine's) leave a gap with its reason.
    """
    data = read(sweep)
    write(csv_tables(data), out / REPORT_TABLES)
    path = out / REPORT_PAGE
    write_file(path, page(data).encode())
    return path


def page(data: ReportData) -> str:
    """Return the whole page."""
    return document(
        kind="sweep report",
        title=data.sweep.name,
        subtitle=_progress(data),
        templates="report/templates",
        sections=(
            Section(key=key, name=name, content=found)
            for key, (name, content) in SECTIONS.items()
            if (found := content(data)) is not None
        ),
    )


def _progress(data: ReportData) -> str:
    """Return how far the sweep is: `search 45 of 45 trials, retrain 1 of 2`."""
    stages = []
    for stage in data.sweep.stages:
        settled = sum(slot.state.final for slot in stage.slots)
        stages.append(
            f"{stage.name}: {settled} of {len(stage.slots)} trials settled"
            if stage.slots
            else f"{stage.name}: not begun"
        )
    return f"{data.sweep.state.value.capitalize()}. " + "; ".join(stages)
