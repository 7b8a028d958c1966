from sweep.pages.table import number, signed_text


def test_numbers_that_are_none_have_a_dash():
    for value in (None, float("nan"), float("inf")):
        assert (number(value).text, number(value).number) == ("—", None)


def test_differences_have_a_sign_unless_they_round_to_nothing():
    assert [signed_text(value) for value in (0.1234, -0.1, 0.0004, -0.0004)] == [
        *("+0.123", "\N{MINUS SIGN}0.100", "0.000", "0.000")
    ]
