import re
from pathlib import Path

from plotly.offline import get_plotlyjs

from sweep.data.prepare import prepare
from tests.datasets import make_photos


def test_the_page_shows_everything_and_asks_for_nothing(tmp_path: Path) -> None:
    spec = make_photos(tmp_path)
    annotations = tmp_path / "a.json"
    annotations.write_text(annotations.read_text().replace("[8, 6, 40, 30]", "[8, 6, 90, 30]", 1))
    page = prepare(spec, tmp_path / "out").preview.read_text().replace(get_plotlyjs(), "")
    anchors = ["dataset", "classes", "sizes", "pictures", "mended"]
    assert re.findall(r'<section id="(\w+)"', page) == anchors
    assert re.findall(r'<a href="#(\w+)"', page) == anchors
    assert not re.search(r"@import|url\(|https?://", page)
    assert page.count('src="data:image/jpeg;base64,') == 12
    assert "<td>8 6 90 30</td><td>8 6 72 30</td>" in page
    assert "clipped: 1" in page and "images that look alike: 1" in page
    assert str(tmp_path) not in page
    assert "merged from" not in page


def test_merged_classes_and_their_sums_are_shown(tmp_path: Path) -> None:
    spec = make_photos(tmp_path, classes={"round": ["cell"]})
    page = prepare(spec, tmp_path / "out").preview.read_text()
    assert '<td>round</td><td class="wide">cell</td>' in page
    counts = "".join(
        f'<td class="num" data-v="{count}">{count}</td>' for count in (12, 12, 6, 6, 3, 3, 3, 3)
    )
    assert f"<tr><td>round</td>{counts}</tr><tr><td>all</td>{counts}</tr>" in page
