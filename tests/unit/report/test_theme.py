"""Colours and words of figures: seen on white and on black, whatever the names."""

import pytest

from sweep.pages import theme

DAY, DARK = "#ffffff", "#14171a"


def contrast(one: str, other: str) -> float:
    low, high = sorted(theme.luminance(colour) + 0.05 for colour in (one, other))
    return high / low


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("colour", [theme.ACCENT, theme.WARNING, theme.INK])
def test_words_can_be_read_by_day_and_by_night(colour):
    assert contrast(colour, DAY) >= 4.5
    assert contrast(theme.NIGHT[colour], DARK) >= 4.5


def test_lines_of_any_class_are_seen_by_day_and_by_night():
    for place in range(8, 300):
        assert contrast(theme.colour(place), DAY) >= 3
        assert contrast(theme.colour(place), DARK) >= 3


@pytest.mark.parametrize("night", [False, True])
def test_numbers_can_be_read_on_the_whole_scale(night):
    def shade(colour: str) -> str:
        return theme.NIGHT.get(colour, colour) if night else colour

    for step in range(101):
        part = step / 100
        stops = zip(theme.SCALE, theme.SCALE[1:], strict=False)
        (low, first), (high, last) = next(pair for pair in stops if part <= pair[1][0])
        mixed = (part - low) / (high - low)
        ends = [[int(shade(c)[at : at + 2], 16) for at in (1, 3, 5)] for c in (first, last)]
        cell = "#" + "".join(
            f"{round(a + (b - a) * mixed):02x}" for a, b in zip(*ends, strict=True)
        )
        text = theme.ON_DARK if part > theme.DARK_FROM else theme.INK
        assert contrast(cell, shade(text)) >= 3


def test_names_are_shown_as_they_are_whatever_plotly_reads_in_them():
    assert theme.words("<b>x & %{y}") == "&lt;b&gt;x &amp; &#37;{y}"


def test_long_names_lose_their_middle():
    assert theme.short("abc") == "abc"
    assert theme.short("a" * 30 + "b" * 30) == "a" * 16 + "…" + "b" * 7


def test_an_axis_of_hundreds_of_places_labels_some():
    labels = [f"class {place}" for place in range(300)]

    ticks = theme.places("", labels)["ticktext"]

    assert len(ticks) <= theme.MOST_LABELS
    assert ticks[1] == "class 8"
    assert theme.places("", labels[:40])["ticktext"] == labels[:40]
    assert theme.places("", [])["ticktext"] == []
