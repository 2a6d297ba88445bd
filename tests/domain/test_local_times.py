"""Which instant a local time is, where clocks skip it or show it twice."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from domain.local_times import instant, local_time, zone_named
from tests.domain.clock_changes import CHANGES, MINUTE, latest_shown, utc


@pytest.mark.parametrize("change", CHANGES)
def test_a_local_time_is_when_clocks_first_show_it_or_a_later_one(change: str) -> None:
    zone = ZoneInfo(CHANGES[change][0])
    rows = latest_shown(change)
    local = rows[0][1]
    for at, shown in rows:
        while local <= shown:
            assert instant(local, zone) == at
            local += MINUTE


def test_a_local_time_has_no_offset_and_says_not_which_of_two_it_is() -> None:
    again = local_time(utc("2026-10-25T01:30Z"), ZoneInfo("Europe/Vienna"))
    assert again.tzinfo is None
    assert again.fold == 0
    assert again == datetime.fromisoformat("2026-10-25T02:30")


def test_a_change_by_seconds_is_found_to_the_second() -> None:
    skipped = instant(datetime.fromisoformat("1972-01-07T00:10"), ZoneInfo("Africa/Monrovia"))
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
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be a time zone name"):
        zone_named(name)


def test_a_zone_is_known_by_its_name() -> None:
    assert zone_named("Asia/Kathmandu").key == "Asia/Kathmandu"
