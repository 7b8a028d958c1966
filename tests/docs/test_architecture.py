"""docs/architecture.md names what is there, and every room."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
PACKAGES = (ROOT / "sweep", ROOT / "storage")
STEPS = r"\b((?:spec|data|stages|search|worker|training|queue)/\w+)(?![/\w<])"
"""What the picture names, from inside a package."""


def test_every_path_it_names_is_there() -> None:
    named = re.findall(r"`((?:sweep|storage|docs)/[\w./]*)`", PAGE)
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_step_of_the_picture_is_there() -> None:
    steps = re.findall(STEPS, PAGE)
    assert len(steps) > 8
    for step in steps:
        files = [package / f"{step}.py" for package in PACKAGES]
        folders = [package / step for package in PACKAGES]
        assert any(path.exists() for path in (*files, *folders)), step


def test_every_room_is_in_it() -> None:
    rooms = [room.parent for package in PACKAGES for room in package.glob("*/__init__.py")]
    missing = [room.name for room in rooms if f"`{room.relative_to(ROOT)}/`" not in PAGE]
    assert missing == ["migrations"]


def test_the_tables_to_add_to_are_where_it_says() -> None:
    tables = re.findall(r"`([A-Z]+)` in `(sweep/[\w/]+\.py)`", PAGE)
    assert len(tables) > 2
    for table, path in tables:
        assert re.search(rf"^{table}\b", (ROOT / path).read_text(), re.MULTILINE), table
