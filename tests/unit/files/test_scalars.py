"""What an unquoted scalar means: the text as written where text is wanted."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweep.errors import InputError
from sweep.files.yaml import read_yaml

WORDS = ["yes", "NO", "on", "Off", "y", "true", "007", "010", "08", "1_0", "0.5", "1.10", "1e3"]
WORDS += [
    "2024-01-01",
    "2024-13-45",
    "~",
    "null",
    "0x1F",
    "0b11",
    "0b_",
    "-0x__",
    "0o17",
    "1:30",
    ".nan",
    "=",
    "<<",
]
SHAPE: dict[str, Any] = {
    "text": str,
    "list": list[str],
    "merge": dict[str, tuple[str, ...]],
    "number": int | float,
    "switch": bool,
    "either": bool | int | float | str | None,
    "optional": str | None,
}
plain = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read(folder: Path, text: str, **options: bool) -> dict[str, Any]:
    file = folder / "file.yaml"
    file.write_text(text, encoding="utf-8")
    return read_yaml(file, SHAPE, **options)


@pytest.mark.parametrize("word", WORDS)
def test_text_is_taken_as_written(tmp_path: Path, word: str) -> None:
    key = f"'{word}'" if word == "<<" else word  # as a key it merges
    found = read(tmp_path, f"text: {word}\nlist: [{word}, a]\nmerge: {{{key}: [{word}]}}\n")
    assert found == {"text": word, "list": [word, "a"], "merge": {word: [word]}}


# What YAML 1.1 takes for something else, and any other text of those letters.
scalar = st.one_of(
    st.sampled_from(WORDS),
    st.from_regex(r"[-+]?[0-9][0-9_.:eExob-]{0,6}", fullmatch=True),
    st.from_regex(r"[A-Za-z~][A-Za-z0-9_.-]{0,6}", fullmatch=True),
).filter(lambda word: not word.endswith(":") and word != "<<")


@plain
@given(words=st.lists(scalar, min_size=1, max_size=6, unique=True))
def test_any_list_of_words_comes_back_as_written(tmp_path: Path, words: list[str]) -> None:
    lines = "".join(f"- {word}\n" for word in words)
    keys = "".join(f"  {word}: [{word}]\n" for word in words)
    found = read(tmp_path, f"list:\n{lines}merge:\n{keys}")
    assert found == {"list": words, "merge": {word: [word] for word in words}}


@plain
@given(number=st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)))
def test_any_number_comes_back_as_a_number(tmp_path: Path, number: float) -> None:
    for written in (repr(number), yaml.safe_dump(number).split("\n")[0], f"{number:e}"):
        found = read(tmp_path, f"number: {written}\neither: {written}\n", refuse_unclear=True)
        assert found["number"] == found["either"] == pytest.approx(number)


@pytest.mark.parametrize(
    ("written", "value"),
    [("1e-3", 0.001), ("1E5", 1e5), (".5", 0.5), ("-.5e1", -5.0), ("1_000", 1000), ("0x1F", 31)],
)
def test_numbers_of_yaml_1_1_and_1_2_are_numbers(
    tmp_path: Path, written: str, value: float
) -> None:
    assert read(tmp_path, f"number: {written}\neither: {written}") == dict.fromkeys(
        ("number", "either"), value
    )


def test_true_and_false_where_they_are_wanted(tmp_path: Path) -> None:
    found = read(tmp_path, "switch: yes\neither: off\nnumber: on\noptional: ~\n")
    assert found == {"switch": True, "either": False, "number": "on", "optional": None}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("number: 010", "number: found 010, which is 8 in YAML; write 8, or put it in quotes"),
        ("number: 1:30", "number: found 1:30, which is 90 in YAML; write 90, or put it in quotes"),
        ("either: -07", "either: found -07, which is -7 in YAML; write -7, or put it in quotes"),
        ("number: .inf", "number: found inf; write a finite number"),
        ("number: 1e999", "number: found inf; write a finite number"),
        ("merge: {1: [a], '1': [b]}", "merge: key '1' is written twice; keep one"),
    ],
)
def test_what_is_no_clear_number_is_refused(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(InputError, match=f": {re.escape(line)}$"):
        read(tmp_path, text)


@pytest.mark.parametrize("word", ["yes", "NO", "on", "1_0", "0x1F", "1:30", "007"])
def test_where_both_may_stand_what_is_unclear_can_be_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(InputError, match=f"either: found {word}, which is .*, or put it in quotes"):
        read(tmp_path, f"either: {word}", refuse_unclear=True)
    assert read(tmp_path, f"either: '{word}'", refuse_unclear=True) == {"either": word}
    assert read(tmp_path, "either: true", refuse_unclear=True) == {"either": True}
