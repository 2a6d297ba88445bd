"""Test when a rule is due next, in zones whose clocks are set forward and back."""

from datetime import date, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.cron import parse_cron
from domain.recurrence import next_due, upcoming
from tests.domain.clock_changes import CHANGES, MINUTE, latest_shown, utc

# Rule, zone, after and due (both in UTC), and what it shows.
TABLE = """
* * * * *        | UTC                 | 2026-01-01 00:00 | 2026-01-01 00:01 | every minute
0 9 * * *        | UTC                 | 2026-01-01 09:00 | 2026-01-02 09:00 | not again at the instant itself
0 9 * * *        | UTC                 | 2026-01-01 08:59:59 | 2026-01-01 09:00 | a second before
0 9 * * *        | UTC                 | 2026-01-01 08:59:59.999999 | 2026-01-01 09:00 | a microsecond before
0 9 * * *        | UTC                 | 2026-01-01 09:00:01 | 2026-01-02 09:00 | a second after
*/15 * * * *     | UTC                 | 2026-01-01 10:46 | 2026-01-01 11:00 | every quarter of an hour
10-40/10 * * * * | UTC                 | 2026-01-01 10:40 | 2026-01-01 11:10 | a step in a range
5,50 * * * *     | UTC                 | 2026-01-01 10:05 | 2026-01-01 10:50 | a list of minutes
* * * * *        | UTC                 | 2026-01-01 23:59 | 2026-01-02 00:00 | the last minute of a day
0 9 * * mon-fri  | Europe/Vienna       | 2026-01-02 08:00 | 2026-01-05 08:00 | weekdays go on after the weekend
0 9 * * 0        | UTC                 | 2026-01-01 00:00 | 2026-01-04 09:00 | Sunday as 0
0 9 * * 7        | UTC                 | 2026-01-01 00:00 | 2026-01-04 09:00 | Sunday as 7
0 8 * * mon      | Pacific/Auckland    | 2026-01-01 00:00 | 2026-01-04 19:00 | Monday there is Sunday in UTC
0 9 * jul *      | Europe/Vienna       | 2026-01-01 00:00 | 2026-07-01 07:00 | a month by name
0 9 * jan *      | Europe/Vienna       | 2026-02-01 00:00 | 2027-01-01 08:00 | a month of next year
59 23 31 12 *    | America/New_York    | 2026-06-01 00:00 | 2027-01-01 04:59 | the last minute of the year
0 0 1 1 *        | Pacific/Auckland    | 2026-06-01 00:00 | 2026-12-31 11:00 | new year on the other side
0 0 31 * *       | UTC                 | 2026-03-31 00:00 | 2026-05-31 00:00 | months without a 31st are skipped
0 0 30 * *       | UTC                 | 2026-01-30 00:00 | 2026-03-30 00:00 | February has no 30th
0 12 L * *       | UTC                 | 2026-02-01 00:00 | 2026-02-28 12:00 | the last day of February
0 12 L * *       | UTC                 | 2028-02-01 00:00 | 2028-02-29 12:00 | the last day of February in a leap year
0 12 l * *       | UTC                 | 2026-03-31 12:00 | 2026-04-30 12:00 | the last day of April
0 0 L * *        | Pacific/Kiritimati  | 2026-12-01 00:00 | 2026-12-30 10:00 | the last day of the year there
0 0 15,L * *     | UTC                 | 2026-02-15 00:00 | 2026-02-28 00:00 | the 15th and the last day
0 0 29 2 *       | UTC                 | 2026-01-01 00:00 | 2028-02-29 00:00 | 29 February waits for a leap year
0 0 29 2 *       | Europe/Vienna       | 2026-01-01 00:00 | 2028-02-28 23:00 | 29 February begins a day before in UTC
0 0 29 2 *       | UTC                 | 2096-02-29 00:00 | 2104-02-29 00:00 | 29 February is skipped in 2100
0 0 13 * fri     | UTC                 | 2026-01-01 00:00 | 2026-01-02 00:00 | day or weekday: the weekday
0 0 13 * fri     | UTC                 | 2026-01-09 00:00 | 2026-01-13 00:00 | day or weekday: the day
0 0 L * mon      | UTC                 | 2026-01-26 00:00 | 2026-01-31 00:00 | the last day or a weekday
0 0 30 2 mon     | UTC                 | 2026-01-01 00:00 | 2026-02-02 00:00 | a day that never is or a weekday
0 0 */10 * mon   | UTC                 | 2026-01-01 00:00 | 2026-05-11 00:00 | steps of all days and a weekday
30 2 * * *       | Europe/Vienna       | 2026-03-28 02:00 | 2026-03-29 01:00 | gap: when clocks are set forward
30 2 * * *       | Europe/Vienna       | 2026-03-29 00:59:59 | 2026-03-29 01:00 | gap: a second before the change
30 2 * * *       | Europe/Vienna       | 2026-03-29 01:00 | 2026-03-30 00:30 | gap: once
*/15 2 * * *     | Europe/Vienna       | 2026-03-29 00:59 | 2026-03-29 01:00 | gap: all of it at once
*/15 2 * * *     | Europe/Vienna       | 2026-03-29 01:00 | 2026-03-30 00:00 | gap: all of it only once
0 2,3 * * *      | Europe/Vienna       | 2026-03-29 01:00 | 2026-03-30 00:00 | gap: together with the minute after it
59 1 29 3 *      | Europe/Vienna       | 2026-01-01 00:00 | 2026-03-29 00:59 | gap: the last minute before it
*/15 * * * *     | Europe/Vienna       | 2026-03-29 01:00 | 2026-03-29 01:15 | gap: the first quarter after it
30 2 8 3 *       | America/New_York    | 2026-01-01 00:00 | 2026-03-08 07:00 | gap: New York
30 1 * * *       | Europe/London       | 2026-03-28 12:00 | 2026-03-29 01:00 | gap: London, from UTC itself
0 1 29 3 *       | Europe/London       | 2026-01-01 00:00 | 2026-03-29 01:00 | gap: its first minute
0 0 * * *        | America/Sao_Paulo   | 2018-11-03 12:00 | 2018-11-04 03:00 | gap: midnight is missing
30 0 4 11 *      | America/Sao_Paulo   | 2018-11-01 00:00 | 2018-11-04 03:00 | gap: within an hour without its midnight
0 1 4 11 *       | America/Sao_Paulo   | 2018-11-01 00:00 | 2018-11-04 03:00 | gap: the end of a missing hour
15 0 * * *       | Africa/Cairo        | 2024-04-25 12:00 | 2024-04-25 22:00 | gap: Cairo, at midnight
30 0 * * *       | America/St_Johns    | 2010-03-14 03:31 | 2010-03-15 03:00 | gap: a minute after midnight
30 0 * * *       | America/St_Johns    | 2010-03-14 03:00 | 2010-03-14 03:31 | gap: set forward at 00:01
0 0 14 3 *       | America/St_Johns    | 2010-03-01 00:00 | 2010-03-14 03:30 | gap: the minute that there was before it
15 2 * * *       | Australia/Lord_Howe | 2026-10-03 12:00 | 2026-10-03 15:30 | gap: half an hour
30 2 4 10 *      | Australia/Lord_Howe | 2026-09-01 00:00 | 2026-10-03 15:30 | gap: the end of half an hour
45 2 4 10 *      | Australia/Lord_Howe | 2026-09-01 00:00 | 2026-10-03 15:45 | gap: after half an hour
30 2 30 3 *      | Antarctica/Troll    | 2025-03-01 00:00 | 2025-03-30 01:00 | gap: two hours
0 3 27 9 *       | Pacific/Chatham     | 2026-09-01 00:00 | 2026-09-26 14:00 | gap: Chatham, an odd quarter
45 23 * * *      | Asia/Pyongyang      | 2018-05-04 12:00 | 2018-05-04 15:00 | gap: the half hour before midnight
45 2 1 5 *       | America/Caracas     | 2016-04-01 00:00 | 2016-05-01 07:00 | gap: a zone that moved by half an hour
10 0 1 1 *       | Asia/Kathmandu      | 1985-12-01 00:00 | 1985-12-31 18:30 | gap: a zone that moved by a quarter
0 9 * * *        | Pacific/Apia        | 2011-12-29 19:00 | 2011-12-30 10:00 | gap: a missing day
0 9 * * *        | Pacific/Apia        | 2011-12-30 10:00 | 2011-12-30 19:00 | gap: the day after the missing one
0 12 30 12 *     | Pacific/Apia        | 2011-12-01 00:00 | 2011-12-30 10:00 | gap: the date that is missing
0 9 * * fri      | Pacific/Apia        | 2011-12-24 00:00 | 2011-12-30 10:00 | gap: the weekday that is missing
0 0 L 12 *       | Pacific/Apia        | 2011-12-01 00:00 | 2011-12-30 10:00 | gap: the last day follows the missing one
30 6 21 8 *      | Pacific/Kwajalein   | 1993-08-01 00:00 | 1993-08-21 12:00 | gap: another missing day
30 2 * * *       | Europe/Vienna       | 2026-10-24 12:00 | 2026-10-25 00:30 | fold: the first time
30 2 * * *       | Europe/Vienna       | 2026-10-25 00:30 | 2026-10-26 01:30 | fold: once
30 2 * * *       | Europe/Vienna       | 2026-10-25 01:00 | 2026-10-26 01:30 | fold: not when clocks are set back
30 2 * * *       | Europe/Vienna       | 2026-10-25 01:29:59 | 2026-10-26 01:30 | fold: not the second time
0 3 25 10 *      | Europe/Vienna       | 2026-10-01 00:00 | 2026-10-25 02:00 | fold: the hour after it
*/15 * * * *     | Europe/Vienna       | 2026-10-25 00:45 | 2026-10-25 02:00 | fold: quarters pause
* * * * *        | Europe/Vienna       | 2026-10-25 01:20 | 2026-10-25 02:00 | fold: minutes pause
30 1 1 11 *      | America/New_York    | 2026-10-01 00:00 | 2026-11-01 05:30 | fold: New York
30 1 * * *       | America/New_York    | 2026-11-01 06:10 | 2026-11-02 06:30 | fold: asked while New York repeats it
0 1 * * *        | Europe/London       | 2026-10-24 12:00 | 2026-10-25 00:00 | fold: London
45 1 5 4 *       | Australia/Lord_Howe | 2026-04-01 00:00 | 2026-04-04 14:45 | fold: half an hour
0 2 5 4 *        | Australia/Lord_Howe | 2026-04-01 00:00 | 2026-04-04 15:30 | fold: the end of half an hour
*/15 * * * *     | Australia/Lord_Howe | 2026-04-04 14:45 | 2026-04-04 15:30 | fold: quarters pause for half an hour
30 23 * * *      | America/Sao_Paulo   | 2019-02-16 12:00 | 2019-02-17 01:30 | fold: the hour before midnight
0 0 17 2 *       | America/Sao_Paulo   | 2019-02-01 00:00 | 2019-02-17 03:00 | fold: midnight comes after both
30 23 31 10 *    | Africa/Cairo        | 2024-10-01 00:00 | 2024-10-31 20:30 | fold: Cairo, the hour before midnight
0 0 1 11 *       | Africa/Cairo        | 2024-10-01 00:00 | 2024-10-31 22:00 | fold: Cairo, midnight
30 23 6 11 *     | America/St_Johns    | 2010-11-01 00:00 | 2010-11-07 02:00 | fold: back to the day before
0 0 7 11 *       | America/St_Johns    | 2010-11-01 00:00 | 2010-11-07 02:30 | fold: a midnight that comes twice
1 0 7 11 *       | America/St_Johns    | 2010-11-01 00:00 | 2010-11-07 03:31 | fold: a minute after both midnights
0 3 5 4 *        | Pacific/Chatham     | 2026-04-01 00:00 | 2026-04-04 13:15 | fold: Chatham, an odd quarter
0 2 26 10 *      | Antarctica/Troll    | 2025-10-01 00:00 | 2025-10-26 00:00 | fold: two hours
0 3 26 10 *      | Antarctica/Troll    | 2025-10-01 00:00 | 2025-10-26 03:00 | fold: after two hours
45 2 9 12 *      | America/Caracas     | 2007-12-01 00:00 | 2007-12-09 06:45 | fold: a zone that moved by half an hour
0 9 * * *        | Europe/Vienna       | 2026-07-01 10:00 | 2026-07-02 07:00 | moved to Vienna
0 9 * * *        | America/New_York    | 2026-07-01 10:00 | 2026-07-01 13:00 | moved to New York
0 9 * * *        | America/St_Johns    | 2026-07-01 10:00 | 2026-07-01 11:30 | moved to Newfoundland
0 9 * * *        | Asia/Tokyo          | 2026-07-01 10:00 | 2026-07-02 00:00 | moved to Tokyo
0 9 * * *        | Asia/Kolkata        | 2026-07-01 10:00 | 2026-07-02 03:30 | moved to India
0 9 * * *        | Asia/Kathmandu      | 2026-07-01 10:00 | 2026-07-02 03:15 | moved to Nepal
0 9 * * *        | Australia/Eucla     | 2026-07-01 10:00 | 2026-07-02 00:15 | moved to Eucla
0 9 * * *        | Pacific/Chatham     | 2026-07-01 10:00 | 2026-07-01 20:15 | moved to Chatham
0 9 * * *        | Pacific/Marquesas   | 2026-07-01 10:00 | 2026-07-01 18:30 | moved to the Marquesas
0 9 * * *        | Pacific/Kiritimati  | 2026-07-01 10:00 | 2026-07-01 19:00 | moved to the first zone of the day
0 9 * * *        | Pacific/Pago_Pago   | 2026-07-01 10:00 | 2026-07-01 20:00 | moved to the last zone of the day
"""
ROWS = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize(("text", "zone", "after", "due"), [pytest.param(*row[:4], id=row[4]) for row in ROWS])
def test_a_rule_is_due_next_at(text: str, zone: str, after: str, due: str) -> None:
    found = next_due(parse_cron(text), zone, utc(f"{after}Z"))
    assert found.isoformat() == utc(f"{due}Z").isoformat()


def test_after_may_have_any_offset() -> None:
    after = datetime.fromisoformat("2026-01-01T10:30+02:00")
    assert next_due(parse_cron("0 9 * * *"), "UTC", after).isoformat() == "2026-01-01T09:00:00+00:00"


def test_a_rule_with_rare_days_is_due_within_its_period() -> None:
    """The rule is every 29 February that is a Sunday; with a * in one of the fields of days, both must hold."""
    found = next_due(parse_cron("0 0 29 2 */7"), "UTC", utc("2026-01-01T00:00Z"))
    assert found == utc("2032-02-29T00:00Z")


def test_upcoming_lists_each_due_instant_once() -> None:
    rule = parse_cron("0,30 2 * * *")
    found = upcoming(rule, "Europe/Vienna", utc("2026-03-28T01:00Z"), 4)
    assert found == [utc(f"2026-03-{at}Z") for at in ("28T01:30", "29T01:00", "30T00:00", "30T00:30")]
    assert upcoming(rule, "Europe/Vienna", utc("2026-03-28T01:00Z"), 0) == []


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a time zone name"):
        next_due(parse_cron("0 9 * * *"), "Europe/Atlantis", utc("2026-01-01T00:00Z"))


def test_a_rule_is_not_due_after_the_end_of_the_calendar() -> None:
    with pytest.raises(ValueError, match="not due again"):
        next_due(parse_cron("0 9 1 1 *"), "UTC", utc("9999-01-02T00:00Z"))


Numbers = frozenset[int]


def numbers_between(low: int, high: int) -> st.SearchStrategy[Numbers]:
    return st.frozensets(st.integers(low, high), min_size=1, max_size=4)


def text_of(numbers: Numbers) -> str:
    return ",".join(str(number) for number in numbers)


def comes_up(before: datetime, shown: datetime, minutes: Numbers, hours: Numbers, weekdays: Numbers) -> bool:
    """Return whether the rule matches one of the local minutes after `before`, up to the one that is shown."""
    return any(
        local.minute in minutes and local.hour in hours and date.isoweekday(local) in weekdays
        for local in (shown - back * MINUTE for back in range((shown - before) // MINUTE))
    )


@given(
    change=st.sampled_from(sorted(CHANGES)),
    minutes=numbers_between(0, 59),
    # Clocks are changed in the hours around midnight, or a little later.
    hours=st.frozensets(st.sampled_from([0, 1, 2, 3, 4, 9, 22, 23]), min_size=1, max_size=4),
    weekdays=numbers_between(1, 7),
    asked=st.lists(st.integers(0, 4 * 24 * 60 - 2), min_size=1, max_size=20),
)
def test_a_search_minute_by_minute_finds_the_same(
    change: str, minutes: Numbers, hours: Numbers, weekdays: Numbers, asked: list[int]
) -> None:
    rows = latest_shown(change)
    due = [at for (_, before), (at, shown) in pairwise(rows) if comes_up(before, shown, minutes, hours, weekdays)]
    rule = parse_cron(f"{text_of(minutes)} {text_of(hours)} * * {text_of(weekdays)}")
    for number in asked:
        after, end = rows[number][0], rows[-1][0]
        found = next_due(rule, CHANGES[change][0], after)
        assert [found] == [at for at in due if at > after][:1] or (found > end and not [at for at in due if at > after])
