import re
import subprocess
import sys
from dataclasses import replace

import pytest
from plotly.offline import get_plotlyjs

from storage.states import SlotState
from sweep.report.page import build_report
from tests.factories import grid, make_retrain, make_search, make_slot, make_sweep

SECTIONS = [
    *("verdict", "heatmaps", "curves", "importance", "retraining"),
    *("test", "gallery", "trials", "provenance"),
]


@pytest.fixture(scope="module")
def html(whole_sweep, tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("report")
    path = build_report(whole_sweep, out)
    assert path == out / "report.html"
    assert sorted(file.name for file in out.iterdir()) == ["report.html", "tables"]
    assert (out / "tables" / "ADAMW_50.csv").is_file()
    return path.read_text()


def without_plotly(html: str) -> str:
    return html.replace(get_plotlyjs(), "")


def test_every_section_is_there_once_and_in_the_navigation(html):
    assert re.findall(r'<section id="(\w+)"', html) == SECTIONS
    assert re.findall(r'<a href="#(\w+)"', html) == SECTIONS


def test_the_page_makes_no_request(html):
    page = without_plotly(html)

    assert re.findall(r"""(?:src|href)\s*=\s*["']?(?!data:|#)[^"'>\s]+""", page) == []
    assert not re.search(r"@import|url\(|https?://", page)
    assert "default-src 'none'" in page


def test_plotly_is_inlined_once(html):
    assert html.count(get_plotlyjs()) == 1


def test_every_figure_has_data_and_a_description(html):
    page = without_plotly(html)
    descriptions = re.findall(r'<div class="plot" role="img" aria-label="([^"]+)"', page)

    assert len(descriptions) == page.count('<script type="application/json">') == 22
    assert "mAP50 of AdamW by lr0 and beta1" in descriptions
    assert len(re.findall(r'<img alt="[^"]+" src="data:image/jpeg;base64,', page)) == 36


def test_the_table_has_all_trials_with_their_reasons(html):
    table = html[html.index('<section id="trials"') :]

    assert table[: table.index("</table>")].count("<tr>") == 1 + 47
    assert "oom: CUDA out of memory: 7.8 GiB wanted" in table
    assert "AdamW, lr0 0.005, beta1 0.5, batch 16" in table


def test_the_provenance_names_data_settings_and_work(html):
    provenance = html[html.index('<section id="provenance"') :]

    assert "taco, fingerprint 9c1e77ab03d4" in provenance
    assert "train 1050, val 300, test 24" in provenance
    assert "43 complete, 1 pruned, 1 failed" in provenance
    assert "3.48 device hours over all trials, 1.82 of them in the search" in provenance
    assert "sampler: grid" in provenance
    loaded = 1050 * (43 * 5 + 2 * 100)
    read = loaded - 1050 * (5 + 100)  # what the first trial of each stage made
    assert f"{read} of {loaded} (75%) that completed trials trained on were read" in provenance


def test_the_same_sweep_gives_the_same_page(whole_sweep, html, tmp_path):
    assert build_report(whole_sweep, tmp_path).read_text() == html


def slots_over_a_range() -> list:
    return [make_slot(n, {"lr0": 10 ** (-1 - n / 8), "batch": (8, 16)[n % 2]}) for n in range(24)]


@pytest.mark.parametrize(
    ("sweep", "says"),
    [
        pytest.param(
            make_sweep(
                make_search(
                    [
                        make_slot(0, grid()[0]),
                        make_slot(1, grid()[1], state=SlotState.RUNNING, epochs=2),
                        *(make_slot(n, grid()[n], state=SlotState.QUEUED) for n in range(2, 45)),
                    ]
                ),
                make_retrain([]),
            ),
            ["The search is not finished", "Not estimated: 1 completed trials", "not begun"],
            id="unfinished",
        ),
        pytest.param(
            make_sweep(dataset="", trainer="package.module:train"),
            ["<dt>Dataset</dt><dd>none</dd>"],
            id="a trainer of its own without a dataset",
        ),
        pytest.param(
            make_sweep(make_search([make_slot(n, None, state=SlotState.QUEUED) for n in range(3)])),
            ["No trial has completed yet", "No trial has an epoch yet", "retrains nothing"],
            id="not begun",
        ),
        pytest.param(
            make_sweep(
                make_search(slots_over_a_range()),
                space={
                    "lr0": {"low": 1e-4, "high": 0.1, "log": True},
                    "batch": {"choices": [8, 16]},
                },
            ),
            ["No heatmaps", "mAP50-95 by batch", "This sweep retrains nothing"],
            id="random sampler without an optimizer or a retraining",
        ),
        pytest.param(
            make_sweep(
                make_search(
                    [
                        make_slot(n, point, state=SlotState.FAILED, epochs=0, failure_kind="data")
                        for n, point in enumerate(grid())
                    ]
                ),
                make_retrain([]),
            ),
            ["Without a score: 45 failed of 45 search trials", "No trial has an epoch yet"],
            id="all failed",
        ),
    ],
)
def test_other_sweeps_have_a_report_that_says_what_is_missing(sweep, says, tmp_path):
    page = without_plotly(build_report(sweep, tmp_path).read_text())

    assert re.findall(r'<section id="(\w+)"', page) == SECTIONS
    for words in says:
        assert words in page


def test_the_best_retrained_alone_has_a_page(whole_sweep, tmp_path):
    search, retrain = whole_sweep.stages
    alone = replace(whole_sweep, stages=(search, replace(retrain, slots=retrain.slots[1:])))

    page = without_plotly(build_report(alone, tmp_path).read_text())

    assert "no baseline was trained beside it" in page
    assert "No pictures: there are no boxes of baseline: nobody asked for it." in page


def test_names_from_outside_cannot_become_markup(tmp_path):
    sweep = make_sweep(
        make_search(
            [
                make_slot(
                    0, grid()[0], state=SlotState.FAILED, message="</script><script>alert(1)"
                ),
                make_slot(1, {**grid()[1], "optimizer": "<img src=x>"}),
            ]
        )
    )

    page = build_report(replace(sweep, name="<b>bold</b>"), tmp_path).read_text()

    assert "<script>alert(1)" not in page
    assert "<img src=x>" not in page
    assert "<b>bold" not in page


def test_importing_the_report_leaves_torch_alone():
    code = (
        "import sys, sweep.report.page, sweep.report.tables; "
        "sys.exit(bool({'torch', 'ultralytics', 'optuna'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
