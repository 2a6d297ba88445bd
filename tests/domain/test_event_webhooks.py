"""Test the schedule of event webhooks, and when an endpoint is disabled."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.event_webhooks import RETRY_DELAYS, STATUS_EVENTS, failing_since, has_failed_too_long, retry_delay

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MIDDLE = 0.5


@pytest.mark.parametrize(
    ("tries", "pause"),
    [(1, "0:00:05"), (2, "0:05:00"), (3, "0:30:00"), (4, "2:00:00"), (5, "5:00:00"), (6, "10:00:00"), (7, "10:00:00")],
)
def test_the_pauses_are_the_documented_ones(tries: int, pause: str) -> None:
    assert str(retry_delay(tries, MIDDLE)) == pause


@pytest.mark.parametrize("tries", [8, 9, 100])
def test_there_is_no_attempt_after_the_eighth(tries: int) -> None:
    assert retry_delay(tries, MIDDLE) is None
    assert retry_delay(tries, MIDDLE, timedelta(seconds=1)) is None


@pytest.mark.parametrize("tries", range(1, len(RETRY_DELAYS)))
def test_the_random_value_changes_the_delay_by_a_tenth(tries: int) -> None:
    shortest, longest = retry_delay(tries, 0.0), retry_delay(tries, 0.999_999)
    assert shortest == RETRY_DELAYS[tries] * 0.9
    assert longest is not None
    assert RETRY_DELAYS[tries] * 1.099 < longest < RETRY_DELAYS[tries] * 1.1


@pytest.mark.parametrize(
    ("wish", "pause"),
    [
        (timedelta(seconds=1), timedelta(seconds=5)),
        (timedelta(minutes=3), timedelta(minutes=3)),
        (timedelta(days=300), timedelta(hours=10)),
    ],
    ids=["sooner than planned", "later", "out of reason"],
)
def test_a_receivers_wish_can_only_delay_and_not_for_ever(wish: timedelta, pause: timedelta) -> None:
    assert retry_delay(1, MIDDLE, wish) == pause


def test_a_first_failure_begins_the_count() -> None:
    assert failing_since(None, None, NOW) == NOW


def test_consecutive_failures_keep_counting() -> None:
    began = NOW - timedelta(days=4)
    assert failing_since(began, NOW - timedelta(hours=11), NOW) == began


def test_a_failure_after_days_without_traffic_is_a_new_beginning() -> None:
    """Two failures with a quiet week between them do not make an endpoint that has failed for a week."""
    began = NOW - timedelta(days=7)
    assert failing_since(began, began + timedelta(hours=28), NOW) == NOW


def test_no_pause_of_the_schedule_counts_as_silence() -> None:
    longest = max(RETRY_DELAYS) * 1.1
    began = NOW - timedelta(days=5)
    assert failing_since(began, NOW - longest, NOW) == began


def test_five_days_are_too_long_and_a_second_less_is_not() -> None:
    assert has_failed_too_long(NOW - timedelta(days=5), NOW)
    assert not has_failed_too_long(NOW - timedelta(days=5) + timedelta(seconds=1), NOW)


def test_there_is_a_kind_for_every_status_but_pending() -> None:
    assert sorted(kind.removeprefix("notification.") for kind in STATUS_EVENTS) == [
        "canceled",
        "delivered",
        "digested",
        "expired",
        "failed",
        "in_doubt",
        "opened",
        "sent",
        "suppressed",
    ]
