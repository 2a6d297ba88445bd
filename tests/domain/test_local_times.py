"""Test the instant of a local time that clocks skip or show twice."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from domain.local_times import load_zone, to_instant, to_local_time
from tests.domain.clock_changes import CHANGES, MINUTE, latest_shown, utc


@pytest.mark.parametrize("change", CHANGES)
def test_a_local_time_is_its_first_occurrence_or_a_later_one(change: str) -> None:
    zone = ZoneInfo(CHANGES[change][0])
    rows = latest_shown(change)
    local = rows[0][1]
    for at, shown in rows:
        while local <= shown:
            assert to_instant(local, zone) == at
            local += MINUTE


def test_a_local_time_has_no_offset_and_no_fold() -> None:
    again = to_local_time(utc("2026-10-25T01:30Z"), ZoneInfo("Europe/Vienna"))
    assert again.tzinfo is None
    assert again.fold == 0
    assert again == datetime.fromisoformat("2026-10-25T02:30")


def test_a_change_by_seconds_is_found_to_the_second() -> None:
    skipped = to_instant(datetime.fromisoformat("1972-01-07T00:10"), ZoneInfo("Africa/Monrovia"))
    assert skipped == utc("1972-01-07T00:44:30Z")


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "Europe",
        "Europe/Atlantis",
        "Europe/vienna",
        "../zone",
        "/etc/passwd",
        "zone.tab",
        "a" * 5_000,
        "\0",
        "é",
    ],
)
def test_an_invalid_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be a time zone name"):
        load_zone(name)


def test_a_zone_is_known_by_its_name() -> None:
    assert load_zone("Asia/Kathmandu").key == "Asia/Kathmandu"
