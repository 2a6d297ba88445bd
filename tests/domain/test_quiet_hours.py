"""Test quiet hours and their end, and the opening of send windows."""

from datetime import datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.quiet_hours import QuietHours, SendWindow, next_opening, quiet_hours_end
from tests.domain.clock_changes import CHANGES, MINUTE, latest_shown, utc

ALL = "mon,tue,wed,thu,fri,sat,sun"


def spec(window: str) -> dict[str, Any]:
    """Return `22:00-07:00 fri,sat` as the JSON of the API."""
    times, _, days = window.partition(" ")
    start, end = times.split("-")
    return {"start": start, "end": end, **({"days": days.split(",")} if days else {})}


def rows(table: str) -> list[Any]:
    cells = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    return [pytest.param(*row[:-1], id=row[-1]) for row in cells]


# Window, zone, at, until (both in UTC; - if it is not quiet), and what it shows. 2026-01-02 is a Friday.
QUIET = """
22:00-07:00           | UTC                 | 2026-01-01 21:59 | -                | a minute before it starts
22:00-07:00           | UTC                 | 2026-01-01 22:00 | 2026-01-02 07:00 | the start is quiet
22:00-07:00           | UTC                 | 2026-01-01 23:30 | 2026-01-02 07:00 | before midnight
22:00-07:00           | UTC                 | 2026-01-02 03:00 | 2026-01-02 07:00 | after midnight
22:00-07:00           | UTC                 | 2026-01-02 06:59:59 | 2026-01-02 07:00 | the last second
22:00-07:00           | UTC                 | 2026-01-02 07:00 | -                | the end is not quiet
12:00-14:00           | UTC                 | 2026-01-02 13:00 | 2026-01-02 14:00 | within a day
12:00-14:00           | UTC                 | 2026-01-02 15:00 | -                | after it on the same day
00:00-23:59           | UTC                 | 2026-01-02 00:00 | 2026-01-02 23:59 | all but a minute
22:00-00:00           | UTC                 | 2026-01-02 23:59 | 2026-01-03 00:00 | up to midnight
22:00-00:00           | UTC                 | 2026-01-03 00:00 | -                | midnight itself
22:00-07:00           | Asia/Kathmandu      | 2026-01-01 16:15 | 2026-01-02 01:15 | a zone of three quarters
22:00-07:00           | America/New_York    | 2026-01-01 23:30 | -                | early evening in New York
22:00-07:00           | Pacific/Kiritimati  | 2025-12-31 16:59 | 2025-12-31 17:00 | the morning of new year there
22:00-07:00 fri       | UTC                 | 2026-01-02 23:00 | 2026-01-03 07:00 | the day on which it starts
22:00-07:00 fri       | UTC                 | 2026-01-03 06:00 | 2026-01-03 07:00 | the morning after it
22:00-07:00 fri       | UTC                 | 2026-01-02 06:00 | -                | not the morning of that day
22:00-07:00 fri       | UTC                 | 2026-01-03 23:00 | -                | the evening after is none
22:00-07:00 fri       | Pacific/Auckland    | 2026-01-02 10:00 | 2026-01-02 18:00 | Friday there
22:00-07:00 fri       | America/New_York    | 2026-01-03 11:00 | 2026-01-03 12:00 | Saturday morning there
12:00-14:00 sat,sun   | UTC                 | 2026-01-04 13:00 | 2026-01-04 14:00 | two days: the second
12:00-14:00 sat,sun   | UTC                 | 2026-01-05 13:00 | -                | two days: the day after
22:00-02:30           | Europe/Vienna       | 2026-03-28 23:00 | 2026-03-29 01:00 | gap: an end that is missing
22:00-02:30           | Europe/Vienna       | 2026-03-29 00:59 | 2026-03-29 01:00 | gap: the minute before
22:00-02:30           | Europe/Vienna       | 2026-03-29 01:00 | -                | gap: the change itself
22:00-07:00           | Europe/Vienna       | 2026-03-28 22:00 | 2026-03-29 05:00 | gap: a night of eight hours
02:30-07:00           | Europe/Vienna       | 2026-03-29 00:59 | -                | gap: before a missing start
02:30-07:00           | Europe/Vienna       | 2026-03-29 01:00 | 2026-03-29 05:00 | gap: a start that is missing
02:10-02:40           | Europe/Vienna       | 2026-03-29 01:00 | -                | gap: all of it is missing
02:50-02:10           | Europe/Vienna       | 2026-03-28 12:00 | 2026-03-30 00:10 | gap: between end and start
02:50-02:10           | Europe/Vienna       | 2026-03-29 01:00 | 2026-03-30 00:10 | gap: it ends and starts at once
02:50-02:10 sat       | Europe/Vienna       | 2026-03-28 12:00 | 2026-03-29 01:00 | gap: not on the next day
23:00-00:30           | America/Sao_Paulo   | 2018-11-04 02:30 | 2018-11-04 03:00 | gap: midnight is missing
22:00-07:00           | Pacific/Apia        | 2011-12-30 09:00 | 2011-12-30 17:00 | gap: over a missing day
22:00-07:00 fri       | Pacific/Apia        | 2011-12-30 09:59 | -                | gap: before a missing day
22:00-07:00 fri       | Pacific/Apia        | 2011-12-30 10:00 | 2011-12-30 17:00 | gap: a missing evening
08:00-18:00 fri       | Pacific/Apia        | 2011-12-30 10:00 | -                | gap: a missing day
02:15-07:00           | Australia/Lord_Howe | 2026-10-03 15:30 | 2026-10-03 20:00 | gap: half an hour
22:00-02:30           | Europe/Vienna       | 2026-10-25 00:29 | 2026-10-25 00:30 | fold: it ends the first time
22:00-02:30           | Europe/Vienna       | 2026-10-25 01:00 | -                | fold: shown again, and over
22:00-07:00           | Europe/Vienna       | 2026-10-24 20:00 | 2026-10-25 06:00 | fold: a night of ten hours
22:00-03:00           | Europe/Vienna       | 2026-10-25 01:30 | 2026-10-25 02:00 | fold: ends after both hours
02:30-07:00           | Europe/Vienna       | 2026-10-25 00:29 | -                | fold: before its first start
02:30-07:00           | Europe/Vienna       | 2026-10-25 00:30 | 2026-10-25 06:00 | fold: it starts the first time
02:30-07:00           | Europe/Vienna       | 2026-10-25 01:10 | 2026-10-25 06:00 | fold: back before its start
02:10-02:40           | Europe/Vienna       | 2026-10-25 00:20 | 2026-10-25 00:40 | fold: within it, the first time
02:10-02:40           | Europe/Vienna       | 2026-10-25 01:20 | -                | fold: within it, the second time
23:30-07:00           | America/Sao_Paulo   | 2019-02-17 02:10 | 2019-02-17 10:00 | fold: back to the day before
23:00-23:59           | America/Sao_Paulo   | 2019-02-17 02:30 | -                | fold: an evening that comes twice
23:30-07:00 sat       | America/Sao_Paulo   | 2019-02-17 02:10 | 2019-02-17 10:00 | fold: still of the day before
01:45-02:00           | Australia/Lord_Howe | 2026-04-04 15:20 | 2026-04-04 15:30 | fold: half an hour before an end
"""


@pytest.mark.parametrize(("window", "zone", "at", "until"), rows(QUIET))
def test_quiet_hours_end_at(window: str, zone: str, at: str, until: str) -> None:
    found = quiet_hours_end(QuietHours.from_json(spec(window)), zone, utc(f"{at}Z"))
    assert (found and found.isoformat()) == (None if until == "-" else utc(f"{until}Z").isoformat())


# Window, zone, at, opens at (both in UTC; - if it is open), and what it shows.
OPENS = """
09:00-17:00           | UTC                 | 2026-01-02 09:00 | -                | the start is open
09:00-17:00           | UTC                 | 2026-01-02 16:59 | -                | before it closes
09:00-17:00           | UTC                 | 2026-01-02 17:00 | 2026-01-03 09:00 | the end is closed
09:00-17:00           | UTC                 | 2026-01-02 08:59 | 2026-01-02 09:00 | before it opens
20:00-02:00           | UTC                 | 2026-01-02 01:00 | -                | over midnight
20:00-02:00           | UTC                 | 2026-01-02 02:00 | 2026-01-02 20:00 | after midnight and its end
09:00-17:00 mon,tue   | UTC                 | 2026-01-02 12:00 | 2026-01-05 09:00 | after the weekend
09:00-17:00 fri       | UTC                 | 2026-01-02 17:00 | 2026-01-09 09:00 | in a week
09:00-17:00 fri       | Pacific/Auckland    | 2026-01-01 19:59 | 2026-01-01 20:00 | Friday there
09:00-17:00           | Europe/Vienna       | 2026-03-28 16:00 | 2026-03-29 07:00 | gap: a night of an hour less
02:30-05:00           | Europe/Vienna       | 2026-03-28 12:00 | 2026-03-29 01:00 | gap: a start that is missing
02:10-02:40           | Europe/Vienna       | 2026-03-28 12:00 | 2026-03-30 00:10 | gap: all of it is missing
02:10-02:40 sun       | Europe/Vienna       | 2026-03-22 12:00 | 2026-04-05 00:10 | gap: a week that has none
09:00-17:00 fri       | Pacific/Apia        | 2011-12-29 12:00 | 2012-01-05 19:00 | gap: a Friday that is missing
02:30-05:00           | Europe/Vienna       | 2026-10-24 12:00 | 2026-10-25 00:30 | fold: it opens the first time
02:30-05:00           | Europe/Vienna       | 2026-10-25 01:10 | -                | fold: back before its start
01:00-02:30           | Europe/Vienna       | 2026-10-25 01:10 | 2026-10-26 00:00 | fold: it closed the first time
"""


@pytest.mark.parametrize(("window", "zone", "at", "opens"), rows(OPENS))
def test_a_send_window_opens_at(window: str, zone: str, at: str, opens: str) -> None:
    found = next_opening(SendWindow.from_json(spec(window)), zone, utc(f"{at}Z"))
    assert (found and found.isoformat()) == (None if opens == "-" else utc(f"{opens}Z").isoformat())


def test_hours_with_their_own_zone_do_not_follow_the_recipient() -> None:
    own = QuietHours.from_json({"start": "22:00", "end": "07:00", "timezone": "Asia/Tokyo", "days": None})
    assert quiet_hours_end(own, "Europe/Vienna", utc("2026-01-01T13:00Z")) == utc("2026-01-01T22:00Z")
    assert quiet_hours_end(own, "Europe/Vienna", utc("2026-01-01T23:00Z")) is None


@pytest.mark.parametrize("name", ["Europe/Atlantis", "Europe", ""])
def test_an_unknown_zone_is_refused(name: str) -> None:
    at = utc("2026-01-01T00:00Z")
    with pytest.raises(ValueError, match="must be a time zone name"):
        quiet_hours_end(QuietHours.from_json(spec("22:00-07:00")), name, at)
    with pytest.raises(ValueError, match="must be a time zone name"):
        next_opening(SendWindow.from_json(spec("22:00-07:00")), name, at)


@pytest.mark.parametrize("kind", [QuietHours, SendWindow])
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"end": "22:00"}, "start and end at the same time"),
        ({"start": "24:00"}, "time of day"),
        ({"start": "9:00"}, "time of day"),
        ({"end": "07:00:30"}, "time of day"),
        ({"end": "07:00+01:00"}, "time of day"),
        ({"days": []}, "one day at least"),
        ({"days": ["Mon"]}, "must be mon, tue"),
        ({"days": ["monday"]}, "must be mon, tue"),
    ],
)
def test_an_invalid_window_is_refused(kind: type[QuietHours | SendWindow], changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        kind.from_json(spec("22:00-07:00") | changed)


def test_a_window_on_all_days_equals_one_without_days() -> None:
    at = utc("2026-01-01T23:00Z")
    for window in ("22:00-07:00", f"22:00-07:00 {ALL}"):
        assert quiet_hours_end(QuietHours.from_json(spec(window)), "UTC", at) == utc("2026-01-02T07:00Z")


NIGHTS = st.builds(
    lambda start, length, days: QuietHours(start=start, end=_later(start, length), days=days),
    st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    st.integers(1, 24 * 60 - 1),
    st.none() | st.frozensets(st.integers(0, 6), min_size=1),
)


def _later(start: time, minutes: int) -> time:
    return (datetime.combine(datetime.min, start) + minutes * MINUTE).time()  # noqa: DTZ901


def quiet_by_the_clock(hours: QuietHours, shown: datetime) -> bool:
    """Return whether a clock that is never set back shows a quiet time."""
    if hours.start < hours.end:
        return hours.start <= shown.time() < hours.end and on_a_day(hours, shown)
    evening = shown.time() >= hours.start and on_a_day(hours, shown)
    return evening or (shown.time() < hours.end and on_a_day(hours, shown - timedelta(days=1)))


def on_a_day(hours: QuietHours, shown: datetime) -> bool:
    return hours.days is None or shown.weekday() in hours.days


@given(hours=NIGHTS, change=st.sampled_from(sorted(CHANGES)), first=st.integers(0, 3 * 24 * 60))
def test_every_minute_before_the_returned_end_is_quiet(hours: QuietHours, change: str, first: int) -> None:
    zone, minutes = CHANGES[change][0], latest_shown(change)[first : first + 24 * 60]
    at = minutes[0][0]
    until = quiet_hours_end(hours, zone, at)
    if until is None:
        assert not quiet_by_the_clock(hours, minutes[0][1])
        return
    assert at < until
    assert quiet_hours_end(hours, zone, until) is None
    assert {quiet_hours_end(hours, zone, minute) for minute, _ in minutes[::7] if minute < until} == {until}
    assert all(quiet_by_the_clock(hours, shown) == (minute < until) for minute, shown in minutes if minute <= until)


@given(hours=NIGHTS, change=st.sampled_from(sorted(CHANGES)), first=st.integers(0, 3 * 24 * 60))
def test_a_send_window_is_closed_before_the_returned_minute(hours: QuietHours, change: str, first: int) -> None:
    window = SendWindow(start=hours.start, end=hours.end, days=hours.days)
    zone, minutes = CHANGES[change][0], latest_shown(change)[first:]
    opens = next_opening(window, zone, minutes[0][0])
    assert (opens is None) == quiet_by_the_clock(hours, minutes[0][1])
    if opens is not None:
        assert minutes[0][0] < opens
        assert next_opening(window, zone, opens) is None
        assert all(
            quiet_by_the_clock(hours, shown) == (minute == opens) for minute, shown in minutes if minute <= opens
        )
