"""When a recurring send is due, and what is made up for; with zones whose clocks change."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import pytest

from domain.cron import parse_cron
from domain.schedules import (
    MISSED_KEPT,
    PEOPLE_AT_ONCE,
    LeftOut,
    Rule,
    backfill_times,
    catch_up,
    minutes_for,
    notification_id,
    people_at_once,
    people_of,
    same_times,
)

NOON = Rule(cron=parse_cron("0 12 * * *"))
BERLIN, TOKYO, NEW_YORK = "Europe/Berlin", "Asia/Tokyo", "America/New_York"
SCHEDULE = UUID(int=7)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_it_is_due_from_its_start_to_its_end_and_then_never() -> None:
    rule = Rule(cron=NOON.cron, starts_at=at("2026-07-02T12:00"), ends_at=at("2026-07-03T12:00"))
    due = list(rule.upcoming("UTC", at("2026-06-01T00:00")))
    assert due == [at("2026-07-02T12:00"), at("2026-07-03T12:00")]
    assert rule.next("UTC", due[-1]) is None


def test_a_range_holds_both_of_its_ends() -> None:
    days = [at(f"2026-07-0{day}T12:00") for day in (1, 2, 3)]
    assert list(NOON.between("UTC", days[0], days[2])) == days


def test_a_time_is_one_of_those_that_are_due_or_not() -> None:
    assert NOON.is_due(BERLIN, at("2026-07-01T10:00"))
    assert not NOON.is_due(TOKYO, at("2026-07-01T10:00"))


@pytest.mark.parametrize(
    ("zone", "after", "last_local", "due"),
    [
        # Had noon in Tokyo, flew west: noon of that day comes again in New York and is not theirs.
        (NEW_YORK, "2026-07-01T03:30", "2026-07-01T12:00:00", "2026-07-02T16:00"),
        # Flew before noon: it is still to come.
        (NEW_YORK, "2026-07-01T02:30", "2026-06-30T12:00:00", "2026-07-01T16:00"),
        # Flew east: the next noon there.
        (TOKYO, "2026-07-01T17:00", "2026-07-01T12:00:00", "2026-07-02T03:00"),
        (BERLIN, "2026-07-01T09:00", None, "2026-07-01T10:00"),
    ],
)
def test_whoever_travels_does_not_have_the_same_local_time_twice(
    zone: str, after: str, last_local: str | None, due: str
) -> None:
    assert NOON.for_one(zone, at(after), last_local) == at(due)


def test_of_what_was_missed_only_the_latest_is_run() -> None:
    caught = catch_up(NOON, "UTC", at("2026-07-01T12:00"), at("2026-07-04T12:00"))
    assert caught.run == at("2026-07-04T12:00")
    assert caught.missed == tuple(at(f"2026-07-0{day}T12:00") for day in (1, 2, 3))
    assert caught.next == at("2026-07-05T12:00")
    assert caught.last_local == "2026-07-04T12:00:00"


def test_what_is_due_on_time_has_missed_nothing() -> None:
    caught = catch_up(NOON, BERLIN, at("2026-07-01T10:00"), at("2026-07-01T10:00:01"))
    assert (caught.run, caught.missed, caught.next) == (at("2026-07-01T10:00"), (), at("2026-07-02T10:00"))


def test_after_a_year_of_every_minute_the_first_and_the_last_hundred_are_told_of() -> None:
    minutely = Rule(cron=parse_cron("* * * * *"))
    now = at("2026-07-01T00:00:30")
    caught = catch_up(minutely, "UTC", at("2025-07-01T00:00"), now)
    assert caught.run == at("2026-07-01T00:00")
    assert caught.missed[0] == at("2025-07-01T00:00")
    assert list(caught.missed[1:]) == [caught.run - timedelta(minutes=m) for m in range(MISSED_KEPT, 0, -1)]


def test_the_next_time_is_where_the_person_is_by_now() -> None:
    caught = catch_up(NOON, TOKYO, at("2026-07-01T03:00"), at("2026-07-01T03:01"), NEW_YORK)
    assert (caught.run, caught.next) == (at("2026-07-01T03:00"), at("2026-07-02T16:00"))


def test_where_no_clocks_are_known_nothing_is_sent_and_it_is_looked_at_again() -> None:
    """Not an error: it would keep all others of the type waiting."""
    caught = catch_up(NOON, "Mars/Olympus", at("2026-07-01T03:00"), at("2026-07-01T03:01"))
    assert (caught.run, caught.missed, caught.left_out) == (at("2026-07-01T03:00"), (), LeftOut.UNKNOWN_TIMEZONE)
    assert caught.next == at("2026-07-01T12:00")
    assert not NOON.is_due("Mars/Olympus", at("2026-07-01T12:00"))
    range_of_all = (at("2026-07-01T00:00"), at("2026-07-02T00:00"), 100)
    assert backfill_times(NOON, {TOKYO, "Mars/Olympus"}, *range_of_all) == [at("2026-07-01T03:00")]


def test_whoever_went_where_no_clocks_are_known_has_their_turn_and_is_looked_at_again() -> None:
    caught = catch_up(NOON, TOKYO, at("2026-07-01T03:00"), at("2026-07-01T03:01"), "Mars/Olympus")
    assert (caught.run, caught.left_out) == (at("2026-07-01T03:00"), None)
    assert caught.next == at("2026-07-02T12:00")


def test_times_of_several_zones_are_filled_in_together_and_too_many_are_noticed() -> None:
    start, end = at("2026-07-01T00:00"), at("2026-07-02T00:00")
    both = backfill_times(NOON, {TOKYO, BERLIN}, start, end, 100)
    assert both == [at("2026-07-01T03:00"), at("2026-07-01T10:00")]
    assert len(backfill_times(Rule(cron=parse_cron("* * * * *")), {"UTC"}, start, end, 100)) == 101


def test_a_notification_of_a_time_has_one_id_and_stands_among_those_of_its_time() -> None:
    first, second = islice(NOON.upcoming("UTC", at("2026-07-01T00:00")), 2)
    id = notification_id(SCHEDULE, "ada", first)
    assert id == notification_id(SCHEDULE, "ada", first)
    assert (id.version, id.variant) == (7, "specified in RFC 4122")
    assert id not in {notification_id(SCHEDULE, "bob", first), notification_id(SCHEDULE, "ada", second)}
    assert id < notification_id(SCHEDULE, "ada", second)
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
def test_people_are_those_who_are_named_or_whoever_is_subscribed(
    spec: dict[str, Any], people: tuple[str, ...] | None
) -> None:
    assert people_of(spec) == people


def test_the_finest_rule_says_how_often_to_look() -> None:
    rules = [parse_cron(text) for text in ("0 9 * * *", "5 9 * * *", "3 * * * *")]
    assert [minutes_for(rules[:count]) for count in range(4)] == [0, 15, 5, 1]


def test_a_change_of_words_is_no_change_of_times() -> None:
    spec = {"cron": "0 9 * * *", "timezone": "UTC", "payload": {}}
    assert same_times(spec, {**spec, "payload": {"a": 1}, "starts_at": None})
    assert not same_times(spec, {**spec, "ends_at": "2027-01-01T00:00:00Z"})


def test_large_payloads_go_out_in_smaller_numbers() -> None:
    assert people_at_once(2) == PEOPLE_AT_ONCE
    assert 1 <= people_at_once(250_000) < 20
    assert people_at_once(10**9) == 1
