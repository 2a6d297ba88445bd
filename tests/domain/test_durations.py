"""Test the texts of durations."""

from datetime import timedelta

import pytest

from domain.durations import format_rounded, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("30s", 30), ("10m", 600), ("1h", 3_600), ("3d", 259_200), ("90m", 5_400), ("999999999s", 999_999_999)],
)
def test_a_duration_is_a_whole_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "30",
        "0s",
        "-1s",
        "+1s",
        "01s",
        "1.5h",
        "1 h",
        " 1h",
        "1h ",
        "1h\n",
        "1w",
        "1H",
        "1h30m",
        "٣s",
        "1000000000s",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        parse_duration(text)


def test_a_duration_that_would_leave_the_calendar_is_refused() -> None:
    assert parse_duration("36500d") == timedelta(days=36_500)
    with pytest.raises(ValueError, match="hundred years"):
        parse_duration("36501d")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0.9, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (3_599, "59m"),
        (3_600, "1h"),
        (86_399, "23h"),
        (864_000, "10d"),
    ],
)
def test_a_duration_is_printed_in_its_largest_unit(seconds: float, text: str) -> None:
    assert format_rounded(timedelta(seconds=seconds)) == text
