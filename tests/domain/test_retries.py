"""Test the delay before the next attempt, and when attempts stop."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.names import derived_id
from domain.retries import MAX_DELAY, AttemptBudget, backoff, rand_of
from tests.domain.ledgers import START, later

GIVE_UP_AFTER = timedelta(hours=1)


def budget(
    *, is_last_step: bool, give_up_after: timedelta = GIVE_UP_AFTER, expires_at: datetime | None = None
) -> AttemptBudget:
    return AttemptBudget.of_step(
        first_attempt=START, is_last_step=is_last_step, give_up_after=give_up_after, expires_at=expires_at
    )


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (10_000, 300)])
def test_the_delay_doubles_up_to_five_minutes(attempt: int, seconds: int) -> None:
    assert backoff(attempt, 0.0, None) == timedelta(seconds=seconds)


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_jitter_adds_up_to_a_quarter_and_takes_nothing_away(attempt: int, rand: float) -> None:
    without = backoff(attempt, 0.0, None)
    assert without <= backoff(attempt, rand, None) <= without * 1.25
    assert backoff(attempt, rand, None) <= MAX_DELAY * 1.25


def test_the_random_value_changes_the_delay() -> None:
    assert backoff(1, 0.8, None) == timedelta(seconds=1.2)


def test_the_random_value_is_stable_per_attempt_and_spread_over_others() -> None:
    drawn = [rand_of(derived_id("attempt", number)) for number in range(200)]
    assert drawn == [rand_of(derived_id("attempt", number)) for number in range(200)]
    assert 0 <= min(drawn) < 0.1 < 0.9 < max(drawn) < 1


@pytest.mark.parametrize(("retry_after", "seconds"), [(0, 4), (3, 4), (5, 5), (3600, 3600)])
def test_a_retry_never_precedes_retry_after(retry_after: int, seconds: int) -> None:
    assert backoff(3, 0.0, timedelta(seconds=retry_after)) == timedelta(seconds=seconds)


def test_a_step_before_others_has_four_attempts() -> None:
    before = budget(is_last_step=False)
    assert [before.allows(made, later(1)) for made in (1, 2, 3, 4)] == [True, True, True, False]


def test_a_step_before_others_has_sixty_seconds() -> None:
    assert budget(is_last_step=False).allows(1, later(59.9))
    assert not budget(is_last_step=False).allows(1, later(60))


def test_a_shorter_give_up_after_of_the_type_wins() -> None:
    short = budget(is_last_step=False, give_up_after=timedelta(seconds=10))
    assert short.allows(1, later(9.9))
    assert not short.allows(1, later(10))


def test_the_last_step_retries_until_the_types_time_limit() -> None:
    assert budget(is_last_step=True).allows(1_000, later(3599))
    assert not budget(is_last_step=True).allows(1, later(3600))


@pytest.mark.parametrize("is_last_step", [True, False])
def test_no_attempt_begins_after_the_expiry(is_last_step: bool) -> None:
    expiring = budget(is_last_step=is_last_step, expires_at=later(30))
    assert expiring.allows(1, later(29))
    assert not expiring.allows(1, later(30))


def test_a_later_expiry_lengthens_nothing() -> None:
    assert not budget(is_last_step=True, expires_at=later(9_999)).allows(1, later(3600))
