import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from plotly.offline import get_plotlyjs

from storage.states import SlotState
from sweep.pages import theme
from sweep.paths import sweep_file
from sweep.report.page import build_report
from sweep.spec.sweep_file import SweepSpec
from tests.factories import (
    CLASSES,
    grid,
    make_retrain,
    make_search,
    make_slot,
    make_spec,
    make_sweep,
)

pytestmark = pytest.mark.slow

SECTIONS = [
    *("verdict", "heatmaps", "curves", "importance", "retraining"),
    *("test", "gallery", "trials", "provenance"),
]
RECORD = ["verdict", "trials", "provenance"]
SEARCHED = ["heatmaps", "curves", "importance"]


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
    assert len(re.findall(r'<svg role="img" aria-label="[^"]+"', page)) == 36
    assert page.count("data:image/jpeg;base64,") == 12  # each picture is embedded once


def test_the_table_has_all_trials_with_their_reasons(html):
    table = html[html.index('<section id="trials"') :]

    assert len(re.findall("<tr[ >]", table[: table.index("</table>")])) == 1 + 47
    assert "oom: CUDA out of memory: 7.8 GiB wanted" in table
    assert "AdamW, lr0 0.005, beta1 0.5, batch 16" in table


def test_the_provenance_names_data_settings_and_work(html):
    provenance = html[html.index('<section id="provenance"') :]

    assert "taco, fingerprint 9c1e77ab03d4" in provenance
    assert "train 1050, val 300, test 24" in provenance
    assert "43 complete, 1 pruned, 1 failed" in provenance
    assert "3.5 h of device time over all trials, 1.8 h of it in the search" in provenance
    assert "sampler: grid" in provenance
    loaded = 1050 * (43 * 5 + 2 * 100)
    read = loaded - 1050 * (5 + 100)  # what the first trial of each stage made
    assert f"{read} of {loaded} (75%) that completed trials trained on were read" in provenance


def test_the_same_sweep_gives_the_same_page(whole_sweep, html, tmp_path):
    assert build_report(whole_sweep, tmp_path).read_text() == html


def slots_over_a_range() -> list:
    return [make_slot(n, {"lr0": 10 ** (-1 - n / 8), "batch": (8, 16)[n % 2]}) for n in range(24)]


@pytest.mark.parametrize(
    ("sweep", "says", "sections"),
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
            [*SEARCHED, *RECORD],
            id="unfinished",
        ),
        pytest.param(
            make_sweep(dataset="", trainer="package.module:train"),
            ["<dt>Dataset</dt><dd>none</dd>"],
            [*SEARCHED, *RECORD],
            id="a trainer of its own without a dataset",
        ),
        pytest.param(
            make_sweep(make_search([make_slot(n, None, state=SlotState.QUEUED) for n in range(3)])),
            ["No trial has completed yet", "retrains nothing"],
            RECORD,
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
            ["mAP50-95 by batch", "Parallel coordinates", "This sweep retrains nothing"],
            [*SEARCHED, *RECORD],
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
            ["All 45 trials of the search failed", "Without a score: 45 failed of 45"],
            RECORD,
            id="all failed",
        ),
    ],
)
def test_other_sweeps_have_a_report_without_empty_sections(sweep, says, sections, tmp_path):
    page = without_plotly(build_report(sweep, tmp_path).read_text())

    assert re.findall(r'<section id="(\w+)"', page) == [key for key in SECTIONS if key in sections]
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


def test_where_all_scored_zero_the_maps_keep_their_legend(tmp_path):
    slots = [make_slot(n, params, score=0.0) for n, params in enumerate(grid())]

    page = build_report(make_sweep(make_search(slots)), tmp_path).read_text()

    assert page.count('<div class="legend"><span>0.000</span>') == 2
    assert "<b>0.000" not in page


def test_trials_are_sorted_by_score_and_the_best_is_marked(html):
    table = html[html.index('<section id="trials"') :]
    search = [row for row in table.split("<tr")[2:] if "<td>search" in row]

    assert 'aria-sort="descending"><button type="button">mAP50-95' in table
    assert ' class="best"' in search[0]
    assert '<td class="num" data-v="34">34 <span class="mark">best</span>' in search[0]
    assert [row for row in search if ' class="best"' in row] == search[:1]
    assert "state pruned" in search[-2] or "state failed" in search[-2]


def test_the_scores_of_the_test_split_stand_there_once(html):
    assert html.count("<caption>Scores on 24 images") == 1
    assert html.count(">pycocotools<") == 2


def test_every_colour_of_a_figure_and_the_page_has_one_for_the_dark(html):
    page = without_plotly(html)
    drawn = set(re.findall(r"#[0-9a-f]{6}", "".join(re.findall(r'json">(.*?)</script>', page))))
    classes = {theme.colour(place) for place in range(len(CLASSES))}

    assert drawn - classes - {theme.ON_DARK} <= set(theme.NIGHT)
    assert "@media screen and (prefers-color-scheme: dark)" in page
    assert "white" not in {*re.findall(r'color":"(\w+)"', page)}


def test_pictures_are_named_as_in_the_source(whole_sweep, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(whole_sweep.dataset, folder)
    annotations = folder / "annotations" / "test.json"
    found = json.loads(annotations.read_text())
    for image in found["images"]:
        image["source"] = f"batch_1/été {image['id']}.JPG"
    annotations.write_text(json.dumps(found))

    page = build_report(replace(whole_sweep, dataset=folder), tmp_path).read_text()

    assert re.search(r"<h3>batch_1/été \d+.JPG <span>", page)
    assert "<h3>0000" not in page


def test_versions_and_the_device_are_told_or_unknown(tmp_path):
    slots = [make_slot(n, point) for n, point in enumerate(grid())]
    known = {"detsweep": "0.1.0", "ultralytics": "8.4.1", "torch": "2.9", "device": "cpu (A)"}
    slots[0] = replace(slots[0], result={**slots[0].result, "environment": known})

    new = build_report(make_sweep(make_search(slots[:1])), tmp_path / "new").read_text()
    both = build_report(make_sweep(make_search(slots[:3])), tmp_path / "both").read_text()

    assert "<dt>PyTorch</dt><dd>2.9</dd>" in new
    assert "<dt>Device</dt><dd>cpu (A)</dd>" in new
    assert "<dt>Ultralytics</dt><dd>unknown (2 trials), 8.4.1 (1 trials)</dd>" in both


def test_the_sweep_file_is_shown_as_written(tmp_path):
    sweep = replace(make_sweep(), runs=tmp_path / "runs")
    text = "# my first sweep\nname: taco-grid\ntrainer: sweep.testing:instant_trainer\n"
    text += "search: {epochs: 2, space: {lr0: [0.1, 0.01]}}  # rates\n"
    file = sweep_file(sweep.runs, sweep.name)
    file.parent.mkdir(parents=True)
    file.write_text(text)
    kept = replace(sweep, spec_hash=SweepSpec.load(file).hash())

    page = build_report(kept, tmp_path / "kept").read_text()
    other = build_report(sweep, tmp_path / "other").read_text()

    assert "Sweep file, as written" in page
    assert "# my first sweep\nname: taco-grid" in page
    assert "Sweep file, with its defaults" in other
    assert "my first sweep" not in other


def test_long_and_foreign_names_stay_in_their_place(tmp_path):
    names = ["x" * 60, "عربي", "使い捨て", "<b>bold", "%{y}"]
    space = {"kind": {"choices": names}, "lr0": {"low": 0.001, "high": 0.1}}
    slots = [make_slot(n, {"kind": name, "lr0": 0.01}) for n, name in enumerate(names)]

    page = build_report(make_sweep(make_search(slots), space=space), tmp_path).read_text()

    figures = "".join(re.findall(r'json">(.*?)</script>', page))
    assert "%{y}<" not in figures.replace("\\u003c", "<")
    assert "bold" in figures
    assert "\\u003cb\\u003ebold" not in figures
    assert "使い捨て" in figures or "\\u4f7f" in figures


def test_a_thousand_trials_make_a_page_of_a_few_megabytes(tmp_path):
    space = {
        "optimizer": {"choices": ["SGD", "Adam"]},
        "lr0": {"low": 1e-4, "high": 0.1, "log": True},
    }
    slots = [
        make_slot(n, {"optimizer": ("SGD", "Adam")[n % 2], "lr0": 10 ** (-4 + n / 334)}, epochs=3)
        for n in range(1000)
    ]
    search = make_spec(space)["search"] | {"sampler": "random"}

    path = build_report(make_sweep(make_search(slots), search=search), tmp_path)

    assert path.stat().st_size < 15e6
    page = without_plotly(path.read_text())
    assert "100 of 1000 trials with at least one epoch" in page
    assert "Estimated from 200 of 1000 trials" in page


def test_importing_the_report_leaves_torch_alone():
    code = (
        "import sys, sweep.report.page, sweep.report.tables; "
        "sys.exit(bool({'torch', 'ultralytics', 'optuna'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
