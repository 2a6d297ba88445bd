"""Check schedules over days of skipped time: each occurrence is sent once per recipient, also when clocks change."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from domain.clock import now
from domain.json_types import Json
from testing.tocsin import Tocsin

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


def add_type(tocsin: Tocsin) -> None:
    body = {"name": "report", "channel": "email", "language": "en", "body_template": "{{ figure }}"}
    tocsin.call("POST", "/templates", {**body, "subject_template": "Report", "variables_schema": {}, "publish": True})
    route = {"route": [{"channels": ["email"]}], "templates": {"email": "report"}}
    tocsin.call("PUT", "/notification-types/report", route)


def add_schedule(tocsin: Tocsin, cron: str, timezone: str = "UTC", **more: Any) -> Json:
    body = {"notification_type": "report", "payload": {"figure": 7}, "cron": cron, "timezone": timezone, **more}
    return tocsin.call("PUT", "/schedules/daily", body)


def put_recipient(tocsin: Tocsin, recipient_id: str, **profile: Any) -> None:
    tocsin.put_recipient(recipient_id, email=f"{recipient_id}@example.com", **profile)


def list_local_times(tocsin: Tocsin, recipient_id: str, timezone: str = "UTC") -> list[datetime]:
    """Return the local times of the recipient's messages, to the minute."""
    items = tocsin.outbox(recipient_id=recipient_id)
    times = [datetime.fromisoformat(item["accepted_at"]).astimezone(ZoneInfo(timezone)) for item in items]
    return [local_time.replace(tzinfo=None, second=0, microsecond=0) for local_time in times]


def list_runs(tocsin: Tocsin) -> list[Json]:
    return list(tocsin.call("GET", "/schedules/daily")["last_runs"])


def test_a_schedule_sends_each_occurrence_once_over_three_days(tocsin: Tocsin) -> None:
    add_type(tocsin)
    for recipient_id in ("ada", "bob"):
        put_recipient(tocsin, recipient_id)
    schedule = add_schedule(tocsin, "30 */8 * * *", recipients=["ada", "bob"])
    tocsin.advance(days=3)
    first = datetime.fromisoformat(schedule["next_runs"][0]).replace(tzinfo=None)
    times = [first + number * timedelta(hours=8) for number in range(9)]
    assert list_local_times(tocsin, "ada") == list_local_times(tocsin, "bob") == times
    assert [run["accepted"] for run in list_runs(tocsin)] == [2] * 9


def test_occurrences_during_a_pause_are_skipped_and_can_be_backfilled_once(tocsin: Tocsin) -> None:
    add_type(tocsin)
    put_recipient(tocsin, "ada")
    schedule = add_schedule(tocsin, "0 12 * * *", recipient_id="ada")
    first = datetime.fromisoformat(schedule["next_runs"][0])
    paused = tocsin.call("POST", "/schedules/daily/pause")
    assert (paused["paused"], paused["next_runs"]) == (True, [])
    tocsin.advance(days=2)
    assert list_local_times(tocsin, "ada") == []
    assert tocsin.call("POST", "/schedules/daily/resume")["next_runs"][0] > schedule["next_runs"][1]
    tocsin.advance(days=1)
    assert len(list_local_times(tocsin, "ada")) == 1
    range_of_all = {"from": first.isoformat(), "to": now().isoformat()}
    for _ in range(2):
        backfill = tocsin.call("POST", "/schedules/daily/backfill", range_of_all)
        assert len(backfill["times"]) == 3
        tocsin.settle()
    assert len(list_local_times(tocsin, "ada")) == 3
    assert Counter((run["kind"], run["accepted"]) for run in list_runs(tocsin)) == {
        ("due", 1): 1,
        ("backfill", 1): 2,
        ("backfill", 0): 1,
    }


def test_each_trigger_of_a_schedule_sends_immediately(tocsin: Tocsin) -> None:
    add_type(tocsin)
    put_recipient(tocsin, "ada")
    tocsin.call("PUT", "/topics/reports/subscribers/ada")
    add_schedule(tocsin, "0 0 1 1 *", topic="reports")
    ids = [tocsin.call("POST", "/schedules/daily/trigger")["run_id"] for _ in range(2)]
    tocsin.settle()
    assert len(list_local_times(tocsin, "ada")) == 2
    assert [(run["id"], run["kind"], run["accepted"]) for run in list_runs(tocsin)] == [
        (id, "trigger", 1) for id in reversed(ids)
    ]


def test_an_occurrence_is_skipped_while_an_earlier_one_is_in_progress(tocsin: Tocsin) -> None:
    add_type(tocsin)
    put_recipient(tocsin, "ada")
    add_schedule(tocsin, "0 12 * * *", recipient_id="ada")
    tocsin.call("POST", "/channels/email/pause")
    tocsin.advance(days=3)
    tocsin.call("POST", "/channels/email/resume")
    tocsin.advance(days=1)
    assert [(run["accepted"], run["skip_reason"]) for run in list_runs(tocsin)] == [
        (1, None),
        (0, "overlap"),
        (0, "overlap"),
        (1, None),
    ]
    assert len(list_local_times(tocsin, "ada")) == 2


AUTUMN = (date(2027, 10, 31), date(2027, 11, 7))
RECIPIENT_ZONES = {"ada": "Europe/Berlin", "bob": "America/New_York"}


def test_each_recipient_gets_one_message_a_day_when_clocks_are_set_back(tocsin: Tocsin) -> None:
    """Schedule at 02:30, which the change repeats: in Berlin on 31 October and in New York on 7 November.

    The schedule is paused between the two, from noon to noon in UTC: 02:30 is not near noon in either zone.
    """
    add_type(tocsin)
    for recipient_id, timezone in RECIPIENT_ZONES.items():
        put_recipient(tocsin, recipient_id, timezone=timezone)
    add_schedule(tocsin, "30 2 * * *", "recipient", recipients=sorted(RECIPIENT_ZONES))
    for change in AUTUMN:
        tocsin.call("POST", "/schedules/daily/pause")
        start = datetime.combine(change - timedelta(days=2), time(12), UTC)
        tocsin.advance(seconds=(start - now()).total_seconds())
        tocsin.call("POST", "/schedules/daily/resume")
        tocsin.advance(days=3)
    days = [change + timedelta(days=number) for change in AUTUMN for number in (-1, 0, 1)]
    for recipient_id, timezone in RECIPIENT_ZONES.items():
        assert [local_time.date() for local_time in list_local_times(tocsin, recipient_id, timezone)] == days, (
            recipient_id
        )


def test_a_recipient_who_changes_zones_gets_one_message_a_day(tocsin: Tocsin) -> None:
    add_type(tocsin)
    put_recipient(tocsin, "ada", timezone="Asia/Tokyo")
    add_schedule(tocsin, "0 9 * * *", "recipient", recipient_id="ada")
    tocsin.skip()
    tocsin.advance(hours=1)
    put_recipient(tocsin, "ada", timezone="America/New_York")
    tocsin.advance(days=2)
    assert [local_time.hour for local_time in list_local_times(tocsin, "ada", "Asia/Tokyo")][:1] == [9]
    new_zone_times = list_local_times(tocsin, "ada", "America/New_York")[1:]
    assert [local_time.hour for local_time in new_zone_times] == [9]
    assert new_zone_times[0].date() == list_local_times(tocsin, "ada", "Asia/Tokyo")[0].date() + timedelta(days=1)
