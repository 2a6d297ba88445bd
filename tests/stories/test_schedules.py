"""Recurring sends over days that are skipped: once per time and person, whoever travels and whatever clocks do."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from domain.clock import now
from testing.tocsin import Tocsin

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

Json = dict[str, Any]


def add_type(tocsin: Tocsin) -> None:
    body = {"name": "report", "channel": "email", "language": "en", "body_template": "{{ figure }}"}
    tocsin.call("POST", "/templates", {**body, "subject_template": "Report", "variables_schema": {}, "publish": True})
    route = {"route": [{"channels": ["email"]}], "templates": {"email": "report"}}
    tocsin.call("PUT", "/notification-types/report", route)


def add_schedule(tocsin: Tocsin, cron: str, timezone: str = "UTC", **more: Any) -> Json:
    body = {"notification_type": "report", "payload": {"figure": 7}, "cron": cron, "timezone": timezone, **more}
    return tocsin.call("PUT", "/schedules/daily", body)


def add_person(tocsin: Tocsin, recipient_id: str, **profile: Any) -> None:
    tocsin.put_recipient(recipient_id, email=f"{recipient_id}@example.com", **profile)


def arrived(tocsin: Tocsin, recipient_id: str, zone: str = "UTC") -> list[datetime]:
    """When, as their clocks showed it, to the minute."""
    items = tocsin.outbox(recipient_id=recipient_id)
    times = [datetime.fromisoformat(item["accepted_at"]).astimezone(ZoneInfo(zone)) for item in items]
    return [at.replace(tzinfo=None, second=0, microsecond=0) for at in times]


def runs(tocsin: Tocsin) -> list[Json]:
    return list(tocsin.call("GET", "/schedules/daily")["last_runs"])


def test_it_is_sent_once_each_time_for_three_days(tocsin: Tocsin) -> None:
    add_type(tocsin)
    for person in ("ada", "bob"):
        add_person(tocsin, person)
    schedule = add_schedule(tocsin, "30 */8 * * *", recipients=["ada", "bob"])
    tocsin.advance(days=3)
    first = datetime.fromisoformat(schedule["next_runs"][0]).replace(tzinfo=None)
    times = [first + number * timedelta(hours=8) for number in range(9)]
    assert arrived(tocsin, "ada") == arrived(tocsin, "bob") == times
    assert [run["accepted"] for run in runs(tocsin)] == [2] * 9


def test_occurrences_during_a_pause_are_skipped_and_can_be_backfilled_once(tocsin: Tocsin) -> None:
    add_type(tocsin)
    add_person(tocsin, "ada")
    schedule = add_schedule(tocsin, "0 12 * * *", recipient_id="ada")
    first = datetime.fromisoformat(schedule["next_runs"][0])
    paused = tocsin.call("POST", "/schedules/daily/pause")
    assert (paused["paused"], paused["next_runs"]) == (True, [])
    tocsin.advance(days=2)
    assert arrived(tocsin, "ada") == []
    assert tocsin.call("POST", "/schedules/daily/resume")["next_runs"][0] > schedule["next_runs"][1]
    tocsin.advance(days=1)
    assert len(arrived(tocsin, "ada")) == 1
    range_of_all = {"from": first.isoformat(), "to": now().isoformat()}
    for _ in range(2):
        filled = tocsin.call("POST", "/schedules/daily/backfill", range_of_all)
        assert len(filled["times"]) == 3
        tocsin.settle()
    assert len(arrived(tocsin, "ada")) == 3
    assert Counter((run["kind"], run["accepted"]) for run in runs(tocsin)) == {
        ("due", 1): 1,
        ("backfill", 1): 2,
        ("backfill", 0): 1,
    }


def test_one_that_is_triggered_is_sent_at_once_each_time(tocsin: Tocsin) -> None:
    add_type(tocsin)
    add_person(tocsin, "ada")
    tocsin.call("PUT", "/topics/reports/subscribers/ada")
    add_schedule(tocsin, "0 0 1 1 *", topic="reports")
    ids = [tocsin.call("POST", "/schedules/daily/trigger")["run_id"] for _ in range(2)]
    tocsin.settle()
    assert len(arrived(tocsin, "ada")) == 2
    assert [(run["id"], run["kind"], run["accepted"]) for run in runs(tocsin)] == [
        (id, "trigger", 1) for id in reversed(ids)
    ]


def test_an_occurrence_is_skipped_while_an_earlier_one_is_in_progress(tocsin: Tocsin) -> None:
    add_type(tocsin)
    add_person(tocsin, "ada")
    add_schedule(tocsin, "0 12 * * *", recipient_id="ada")
    tocsin.call("POST", "/channels/email/pause")
    tocsin.advance(days=3)
    tocsin.call("POST", "/channels/email/resume")
    tocsin.advance(days=1)
    assert [(run["accepted"], run["skip_reason"]) for run in runs(tocsin)] == [
        (1, None),
        (0, "overlap"),
        (0, "overlap"),
        (1, None),
    ]
    assert len(arrived(tocsin, "ada")) == 2


SPRING = (date(2027, 3, 14), date(2027, 3, 28))
AUTUMN = (date(2027, 10, 31), date(2027, 11, 7))
HOMES = {"ada": "Europe/Berlin", "bob": "America/New_York"}


@pytest.mark.parametrize("changes", [SPRING, AUTUMN], ids=["spring", "autumn"])
def test_every_recipient_gets_one_a_day_over_both_clock_changes(tocsin: Tocsin, changes: tuple[date, date]) -> None:
    """New York changes on 14 March and 7 November, Berlin on 28 March and 31 October; 02:30 is missing and twice. It
    rests between the two, from a noon in UTC to a noon: then 02:30 is far from being due in either place."""
    add_type(tocsin)
    for person, zone in HOMES.items():
        add_person(tocsin, person, timezone=zone)
    add_schedule(tocsin, "30 2 * * *", "recipient", recipients=sorted(HOMES))
    for change in changes:
        tocsin.call("POST", "/schedules/daily/pause")
        noon_before = datetime.combine(change - timedelta(days=2), time(12), UTC)
        tocsin.advance(seconds=(noon_before - now()).total_seconds())
        tocsin.call("POST", "/schedules/daily/resume")
        tocsin.advance(days=3)
    days = [change + timedelta(days=number) for change in changes for number in (-1, 0, 1)]
    for person, zone in HOMES.items():
        assert [at.date() for at in arrived(tocsin, person, zone)] == days, person


def test_a_traveling_recipient_has_no_day_twice(tocsin: Tocsin) -> None:
    add_type(tocsin)
    add_person(tocsin, "ada", timezone="Asia/Tokyo")
    add_schedule(tocsin, "0 9 * * *", "recipient", recipient_id="ada")
    tocsin.skip()
    tocsin.advance(hours=1)
    add_person(tocsin, "ada", timezone="America/New_York")
    tocsin.advance(days=2)
    assert [at.hour for at in arrived(tocsin, "ada", "Asia/Tokyo")][:1] == [9]
    there = arrived(tocsin, "ada", "America/New_York")[1:]
    assert [at.hour for at in there] == [9]
    assert there[0].date() == arrived(tocsin, "ada", "Asia/Tokyo")[0].date() + timedelta(days=1)
