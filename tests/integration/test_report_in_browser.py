"""The report in a real browser: every figure is drawn, and nothing is asked of the network."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.command import Command

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--virtual-time-budget=20000",
)
METRICS = ("mAP50", "mAP50-95")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
def test_every_figure_is_drawn(sweep: Command, tmp_path: Path) -> None:
    content = {
        "name": "one",
        "trainer": "sweep.testing:instant_trainer",
        "search": {
            "epochs": 3,
            "space": {
                "optimizer": ["SGD", "Adam", "AdamW"],
                "lr0": [0.1, 0.01],
                "momentum": [0.8, 0.9],
            },
        },
        "retrain": {"epochs": 4, "baseline": {"optimizer": "SGD", "lr0": 0.1}},
    }
    assert sweep("run", sweep.write("one.yaml", content)).code == 0
    page = sweep.folder / "reports" / "one" / "report.html"
    command = [str(CHROMIUM), *OPTIONS, f"--user-data-dir={tmp_path / 'browser'}", "--dump-dom"]
    shown = subprocess.run(
        [*command, page.as_uri()], capture_output=True, text=True, check=True
    ).stdout
    titles = re.findall(r'class="gtitle"[^>]*>([^<]+)<', shown)
    maps = [f"{name}, {metric}" for name in ("SGD", "Adam", "AdamW") for metric in METRICS]
    assert set(maps) <= set(titles)
    assert {f"Importance for {metric}" for metric in METRICS} <= set(titles)
    for section in ("Learning curves of the search", "All trials", "Provenance"):
        assert section in shown
