"""Test when a recurring send is due and what is caught up, in zones whose clocks change."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import pytest

from domain.cron import parse_cron
from domain.schedules import (
    MAX_BATCH_RECIPIENTS,
    MAX_MISSED_RECORDED,
    ScheduleRule,
    SkipReason,
    backfill_times,
    batch_size_for,
    catch_up,
    has_same_times,
    recipients_of,
    scheduled_notification_id,
    tick_interval_minutes,
)

NOON = ScheduleRule(cron=parse_cron("0 12 * * *"))
BERLIN, TOKYO, NEW_YORK = "Europe/Berlin", "Asia/Tokyo", "America/New_York"
SCHEDULE = UUID(int=7)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_schedule_is_due_from_its_start_to_its_end() -> None:
    rule = ScheduleRule(cron=NOON.cron, starts_at=at("2026-07-02T12:00"), ends_at=at("2026-07-03T12:00"))
    due = list(rule.upcoming("UTC", at("2026-06-01T00:00")))
    assert due == [at("2026-07-02T12:00"), at("2026-07-03T12:00")]
    assert rule.next("UTC", due[-1]) is None


def test_a_range_holds_both_of_its_ends() -> None:
    days = [at(f"2026-07-0{day}T12:00") for day in (1, 2, 3)]
    assert list(NOON.between("UTC", days[0], days[2])) == days


def test_is_due_agrees_with_the_due_times() -> None:
    assert NOON.is_due(BERLIN, at("2026-07-01T10:00"))
    assert not NOON.is_due(TOKYO, at("2026-07-01T10:00"))


@pytest.mark.parametrize(
    ("zone", "after", "last_local_time", "due"),
    [
        # The recipient had noon in Tokyo and flew west: noon of that day comes again in New York and is skipped.
        (NEW_YORK, "2026-07-01T03:30", "2026-07-01T12:00:00", "2026-07-02T16:00"),
        # The recipient flew before noon: it is still due.
        (NEW_YORK, "2026-07-01T02:30", "2026-06-30T12:00:00", "2026-07-01T16:00"),
        # The recipient flew east: the next noon there is due.
        (TOKYO, "2026-07-01T17:00", "2026-07-01T12:00:00", "2026-07-02T03:00"),
        (BERLIN, "2026-07-01T09:00", None, "2026-07-01T10:00"),
    ],
)
def test_a_traveling_recipient_does_not_have_a_local_time_twice(
    zone: str, after: str, last_local_time: str | None, due: str
) -> None:
    assert NOON.next_for_recipient(zone, at(after), last_local_time) == at(due)


def test_only_the_latest_missed_occurrence_is_run() -> None:
    caught = catch_up(NOON, "UTC", at("2026-07-01T12:00"), at("2026-07-04T12:00"))
    assert caught.run == at("2026-07-04T12:00")
    assert caught.missed == tuple(at(f"2026-07-0{day}T12:00") for day in (1, 2, 3))
    assert caught.next == at("2026-07-05T12:00")
    assert caught.last_local_time == "2026-07-04T12:00:00"


def test_an_occurrence_on_time_has_missed_nothing() -> None:
    caught = catch_up(NOON, BERLIN, at("2026-07-01T10:00"), at("2026-07-01T10:00:01"))
    assert (caught.run, caught.missed, caught.next) == (at("2026-07-01T10:00"), (), at("2026-07-02T10:00"))


def test_a_year_of_missed_minutes_reports_the_first_and_last_hundred() -> None:
    minutely = ScheduleRule(cron=parse_cron("* * * * *"))
    now = at("2026-07-01T00:00:30")
    caught = catch_up(minutely, "UTC", at("2025-07-01T00:00"), now)
    assert caught.run == at("2026-07-01T00:00")
    assert caught.missed[0] == at("2025-07-01T00:00")
    assert list(caught.missed[1:]) == [caught.run - timedelta(minutes=m) for m in range(MAX_MISSED_RECORDED, 0, -1)]


def test_the_next_occurrence_uses_the_recipients_current_zone() -> None:
    caught = catch_up(NOON, TOKYO, at("2026-07-01T03:00"), at("2026-07-01T03:01"), NEW_YORK)
    assert (caught.run, caught.next) == (at("2026-07-01T03:00"), at("2026-07-02T16:00"))


def test_an_unknown_zone_sends_nothing_and_is_checked_again() -> None:
    """An error would keep all others of the type waiting."""
    caught = catch_up(NOON, "Mars/Olympus", at("2026-07-01T03:00"), at("2026-07-01T03:01"))
    assert (caught.run, caught.missed, caught.skip_reason) == (
        at("2026-07-01T03:00"),
        (),
        SkipReason.UNKNOWN_TIMEZONE,
    )
    assert caught.next == at("2026-07-01T12:00")
    assert not NOON.is_due("Mars/Olympus", at("2026-07-01T12:00"))
    range_of_all = (at("2026-07-01T00:00"), at("2026-07-02T00:00"), 100)
    assert backfill_times(NOON, {TOKYO, "Mars/Olympus"}, *range_of_all) == [at("2026-07-01T03:00")]


def test_a_recipient_in_an_unknown_zone_is_sent_to_and_checked_again() -> None:
    caught = catch_up(NOON, TOKYO, at("2026-07-01T03:00"), at("2026-07-01T03:01"), "Mars/Olympus")
    assert (caught.run, caught.skip_reason) == (at("2026-07-01T03:00"), None)
    assert caught.next == at("2026-07-02T12:00")


def test_occurrences_of_several_zones_are_backfilled_together_up_to_a_limit() -> None:
    start, end = at("2026-07-01T00:00"), at("2026-07-02T00:00")
    both = backfill_times(NOON, {TOKYO, BERLIN}, start, end, 100)
    assert both == [at("2026-07-01T03:00"), at("2026-07-01T10:00")]
    assert len(backfill_times(ScheduleRule(cron=parse_cron("* * * * *")), {"UTC"}, start, end, 100)) == 101


def test_a_notification_of_an_occurrence_has_one_ordered_id() -> None:
    first, second = islice(NOON.upcoming("UTC", at("2026-07-01T00:00")), 2)
    id = scheduled_notification_id(SCHEDULE, "ada", first)
    assert id == scheduled_notification_id(SCHEDULE, "ada", first)
    assert (id.version, id.variant) == (7, "specified in RFC 4122")
    assert id not in {
        scheduled_notification_id(SCHEDULE, "bob", first),
        scheduled_notification_id(SCHEDULE, "ada", second),
    }
    assert id < scheduled_notification_id(SCHEDULE, "ada", second)
    assert int(first.timestamp() * 1000) == id.int >> 80


@pytest.mark.parametrize(
    ("spec", "people"),
    [
        ({"recipient_id": "ada"}, ("ada",)),
        ({"recipients": ["bob", "ada"]}, ("ada", "bob")),
        ({"recipients": []}, ()),
        ({"topic": "news"}, None),
    ],
)
def test_recipients_are_named_or_subscribed(spec: dict[str, Any], people: tuple[str, ...] | None) -> None:
    assert recipients_of(spec) == people


def test_the_finest_rule_sets_the_tick_interval() -> None:
    rules = [parse_cron(text) for text in ("0 9 * * *", "5 9 * * *", "3 * * * *")]
    assert [tick_interval_minutes(rules[:count]) for count in range(4)] == [0, 15, 5, 1]


def test_a_change_of_content_keeps_the_due_times() -> None:
    spec = {"cron": "0 9 * * *", "timezone": "UTC", "payload": {}}
    assert has_same_times(spec, {**spec, "payload": {"a": 1}, "starts_at": None})
    assert not has_same_times(spec, {**spec, "ends_at": "2027-01-01T00:00:00Z"})


def test_large_payloads_go_out_in_smaller_numbers() -> None:
    assert batch_size_for(2) == MAX_BATCH_RECIPIENTS
    assert 1 <= batch_size_for(250_000) < 20
    assert batch_size_for(10**9) == 1
