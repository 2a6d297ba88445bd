"""Test cron rules: their meaning, and the messages for invalid ones."""

from datetime import date

import pytest

from domain.cron import Cron, parse_cron, tick_interval

ALL = "* * * * *"


def with_field(place: int, text: str) -> Cron:
    return parse_cron(" ".join([*ALL.split()[:place], text, *ALL.split()[place + 1 :]]))


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("*", tuple(range(60))),
        ("7", (7,)),
        ("07", (7,)),
        ("5,1,5", (1, 5)),
        ("1-4", (1, 2, 3, 4)),
        ("*/15", (0, 15, 30, 45)),
        ("*/59", (0, 59)),
        ("10-40/10", (10, 20, 30, 40)),
        ("10-39/10", (10, 20, 30)),
        ("0-2,30,40-50/5", (0, 1, 2, 30, 40, 45, 50)),
    ],
)
def test_minutes_are_numbers_ranges_steps_and_lists_of_them(text: str, minutes: tuple[int, ...]) -> None:
    assert with_field(0, text).minutes == minutes


@pytest.mark.parametrize(
    ("text", "weekdays"),
    [
        ("*", (0, 1, 2, 3, 4, 5, 6)),
        ("0", (0,)),
        ("7", (0,)),
        ("SUN", (0,)),
        ("Mon-Fri", (1, 2, 3, 4, 5)),
        ("mon,wed", (1, 3)),
        ("fri-sun", (0, 5, 6)),
        ("5-7", (0, 5, 6)),
        ("sun-tue", (0, 1, 2)),
        ("sun-sun", (0,)),
        ("*/2", (0, 2, 4, 6)),
        ("1-5/2", (1, 3, 5)),
    ],
)
def test_weekdays_have_names_and_two_numbers_for_sunday(text: str, weekdays: tuple[int, ...]) -> None:
    assert with_field(4, text).weekdays == weekdays


@pytest.mark.parametrize(
    ("text", "months"), [("jan", (1,)), ("Jan-MAR", (1, 2, 3)), ("jan-12/6", (1, 7)), ("feb,11", (2, 11))]
)
def test_months_have_names(text: str, months: tuple[int, ...]) -> None:
    assert with_field(3, text).months == months


@pytest.mark.parametrize(
    ("text", "days", "last_day"),
    [("L", (), True), ("l", (), True), ("15,L", (15,), True), ("L,1-3", (1, 2, 3), True), ("31", (31,), False)],
)
def test_the_last_day_of_a_month_has_a_letter(text: str, days: tuple[int, ...], last_day: bool) -> None:
    rule = with_field(2, text)
    assert (rule.days, rule.last_day) == (days, last_day)


@pytest.mark.parametrize(
    ("text", "day", "falls"),
    [
        ("0 0 13 * fri", "2026-01-13", True),
        ("0 0 13 * fri", "2026-01-16", True),
        ("0 0 13 * fri", "2026-01-14", False),
        ("0 0 13 * *", "2026-01-16", False),
        ("0 0 * * fri", "2026-01-13", False),
        ("0 0 */2 * fri", "2026-01-16", False),
        ("0 0 */2 * fri", "2026-01-09", True),
        ("0 0 13 feb fri", "2026-01-13", False),
        ("0 0 L * *", "2026-01-30", False),
        ("0 0 L * *", "2026-01-31", True),
    ],
)
def test_a_rule_with_both_day_fields_matches_either(text: str, day: str, falls: bool) -> None:
    assert parse_cron(text).falls_on(date.fromisoformat(day)) is falls


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must have five fields"),
        ("0 9 * *", "must have five fields"),
        ("0 0 9 * * *", "must have five fields"),
        ("@daily", "must have five fields"),
        ("60 * * * *", "minute: 60 must be 0 to 59"),
        ("* 24 * * *", "hour: 24 must be 0 to 23"),
        ("* * 0 * *", "day of the month: 0 must be 1 to 31"),
        ("* * 32 * *", "day of the month: 32 must be 1 to 31"),
        ("* * * 13 *", "month: 13 must be 1 to 12, or jan to dec"),
        ("* * * mon *", "month: mon must be 1 to 12, or jan to dec"),
        ("* * * * 8", "day of the week: 8 must be 0 to 7, or sun to sat"),
        ("* * * * L", "day of the week: 'l' is none of"),
        ("* * * * 5#2", "day of the week: '5#2' is none of"),
        ("mon * * * *", "minute: mon must be 0 to 59"),
        ("-1 * * * *", "minute: '-1' is none of"),
        ("1.5 * * * *", "minute: '1.5' is none of"),
        ("1,,2 * * * *", "minute: '' is none of"),
        (", * * * *", "minute: '' is none of"),
        ("? * * * *", "is none of"),
        ("*-5 * * * *", "is none of"),
        ("1-2-3 * * * *", "is none of"),
        ("٣ * * * *", "is none of"),
        ("9" * 5_000 + " * * * *", "minute: '9{40}' is none of"),
        ("5/15 * * * *", r"minute: a step needs a range, such as \*/15 or 5-59/15"),
        ("*/0 * * * *", "minute: a step must be 1 to 59, not 0"),
        ("*/90 * * * *", "minute: a step must be 1 to 59, not 90"),
        ("* */24 * * *", "hour: a step must be 1 to 23, not 24"),
        ("* 22-2 * * *", "hour: 22-2 runs backwards"),
        ("* * * * fri-mon", "day of the week: fri-mon runs backwards"),
        ("5-0 * * * *", "minute: 5-0 runs backwards"),
    ],
)
def test_an_invalid_rule_is_refused_with_a_reason(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_cron(text)


@pytest.mark.parametrize("text", ["0 0 30 2 *", "0 0 30,31 feb *", "0 0 31 2,4,6,9,11 *", "0 0 31 4 */2"])
def test_a_rule_that_is_never_due_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is never due"):
        parse_cron(text)


@pytest.mark.parametrize("text", ["0 0 29 2 *", "0 0 30 2,3 *", "0 0 30 2 mon", "0 0 30,L 2 *", "0 0 29-31 2 *"])
def test_a_rule_that_is_ever_due_is_accepted(text: str) -> None:
    assert parse_cron(text).is_ever_due


@pytest.mark.parametrize(
    ("minutes", "every"),
    [("0", 15), ("*/15", 15), ("45", 15), ("0,5", 5), ("*/20", 5), ("*/10", 5), ("*", 1), ("7", 1), ("0,15,31", 1)],
)
def test_the_tick_interval_follows_the_minutes_of_the_rule(minutes: str, every: int) -> None:
    assert tick_interval(parse_cron(f"{minutes} 9 * * *")) == every


def test_spaces_may_be_many() -> None:
    assert parse_cron("  0  9 *\t* mon ") == parse_cron("0 9 * * mon")
