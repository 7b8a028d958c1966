from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sweep.errors import InputError
from sweep.files.validation import explain
from sweep.files.yaml import read_yaml


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Range(Section):
    low: float
    high: float
    log: bool = False


class Choices(Section):
    choices: list[int | float | str]


class Circle(Section):
    kind: Literal["circle"]
    radius: int


class Square(Section):
    kind: Literal["square"]
    side: int


class File(Section):
    name: str
    resize: Literal["letterbox", "stretch"] = "stretch"
    size: Range | None = None
    space: dict[str, list[str | int] | Range | Choices] = {}
    shape: Annotated[Circle | Square, Field(discriminator="kind")] | None = None
    circles: list[Circle] = []
    count: int | list[int] = 1

    @field_validator("count")
    @classmethod
    def _count(cls, count: Any) -> Any:
        if count == 7:
            raise ValueError("7 is unlucky; take 8")
        return count


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"name": None}, "name: found nothing; should be text"),
        ({"name": 5}, "name: found 5; should be text; put it in quotes"),
        ({"resize": "leterbox"}, "resize: found 'leterbox'; did you mean 'letterbox'? allowed: "),
        ({"size": {"low": 1, "hihg": 2}}, "size.hihg: unknown key; did you mean 'high'? allowed: "),
        ({"size": {"low": 1}}, "size.high: missing; add it"),
        ({"size": 3}, "size: found 3; should be a mapping of `key: value` lines"),
        ({"size": {"low": "x", "high": 1}}, "size.low: found 'x'; should be a number"),
        ({"space": {"lr0": 5}}, "space.lr0: found 5; should be a list or a mapping of "),
        ({"space": {"lr0": {"low": 1, "hihg": 2}}}, "space.lr0.hihg: unknown key; did you mean"),
        ({"space": {"lr0": {"low": 1, "high": "x"}}}, "space.lr0.high: found 'x'; should be a"),
        ({"space": {"lr0": {"choises": [1]}}}, "space.lr0.choises: unknown key; did you mean"),
        ({"space": {"lr0": [1, {}]}}, "space.lr0[1]: found {}; should be text or a whole number"),
        ({"space": {3: [1]}}, "space: found the key 3; keys should be text; put it in quotes"),
        ({"shape": {"kind": "oval"}}, "shape: found {kind: oval}; allowed: circle, square"),
        ({"shape": {"kind": "circle", "side": 1}}, "shape.side: unknown key; did you mean"),
        (
            {"shape": {"kind": "circle", "radius": "x"}},
            "shape.radius: found 'x'; should be a whole number",
        ),
        ({"shape": {}}, "shape: found {}; must have the key 'kind'"),
        ({"circles": [{"kind": "circle", "radius": 1, "x": 1}]}, "circles[0].x: unknown key"),
        ({"count": [1, "x"]}, "count[1]: found 'x'; should be a whole number"),
        ({"count": 7}, "count: 7 is unlucky; take 8"),
        ({3: 4}, "found the key 3; keys should be text; put it in quotes"),
    ],
)
def test_explains_in_one_line(wrong: dict[Any, Any], line: str) -> None:
    with pytest.raises(ValidationError) as raised:
        File.model_validate({"name": "x"} | wrong)
    found = explain(raised.value, File, Path("file.yaml"))
    assert found.startswith(f"file.yaml: {line}")
    assert "\n" not in found


def test_prefers_the_misspelt_key_to_the_missing_one() -> None:
    with pytest.raises(ValidationError) as raised:
        File.model_validate({"nmae": "x"})
    assert "nmae: unknown key; did you mean 'name'?" in explain(raised.value, File, Path("f"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"a: 1\nb: 2\na: 3", "line 3: not YAML: key 'a' is written twice; keep one"),
        (b"a: {b: 1, b: 2}", "line 1: not YAML: key 'b' is written twice"),
        (b"a: [1", "line 1: not YAML: expected ',' or ']'"),
        (
            b"a: 1\n\tb: 2",
            "line 2: not YAML: found character '\\t' that cannot start any token; indent with",
        ),
        (
            b"a: @b",
            "line 1: not YAML: found character '@' that cannot start any token; put the text",
        ),
        (b"a: *b", "line 1: not YAML: found undefined alias 'b'; put the text in quotes"),
        (b"a: !b c", "line 1: not YAML: could not determine a constructor for the tag '!b'; put"),
        (b"a: b: c", "line 1: not YAML: mapping values are not allowed here; put a text that has"),
        (b"", "found nothing at the top; must be a mapping"),
        (b"- 1", "found a list at the top; must be a mapping"),
        (b"a: 1\nb: \xff", "line 2: not UTF-8"),
        (b"a: 1\n---\nb: 2", "line 2: not YAML: but found another document"),
        (b"a: !!int ''", "line 1: not YAML: not a valid value"),
        (b"a: !!python/object:os.system x", "line 1: not YAML: could not determine"),
        (b"? [1]\n: 2", "line 1: not YAML: found unhashable key"),
        (b"a: \x00", "not YAML: unacceptable character"),
        ("a: b".encode("utf-16"), "line 1: not UTF-8; save the file as UTF-8"),
        (b"7", "found a single value at the top; must be a mapping"),
        (b"a: &a [*a]", "nested too deeply"),
        (b"[" * 500, "nested too deeply"),
        (
            b"a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
            b"c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
            b"e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]",
            "more than 1000000 values; use fewer anchors",
        ),
    ],
)
def test_refuses_broken_yaml_in_one_line(tmp_path: Path, text: bytes, line: str) -> None:
    file = tmp_path / "file.yaml"
    file.write_bytes(text)
    with pytest.raises(InputError) as raised:
        read_yaml(file)
    assert str(raised.value).startswith(f"{file}: {line}")
    assert "\n" not in str(raised.value)


def test_refuses_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_yaml(tmp_path / "absent.yaml")
    with pytest.raises(InputError, match="is a folder"):
        read_yaml(tmp_path)


def test_reads_numbers_merges_and_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(
        "\ufeffa: 1e-4\nb: -1E+3\nc: 1.5e-3\nd: 10e\nx: &x {k: 1}\ny: {<<: *x, k: 2}",
        encoding="utf-8",
    )
    assert read_yaml(file) == {
        "a": 1e-4,
        "b": -1000.0,
        "c": 1.5e-3,
        "d": "10e",
        "x": {"k": 1},
        "y": {"k": 2},
    }
