"""Test how many workflows may start, with a clock that the test moves."""

import pytest

from dispatch.token_bucket import TokenBucket


class PacingClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> PacingClock:
    return PacingClock()


def started(bucket: TokenBucket, most: int = 1_000) -> int:
    """Take what is allowed and spend it, as the dispatcher does."""
    starts = bucket.available(most)
    bucket.spend(starts)
    return starts


def test_the_bucket_begins_with_a_fifth_of_a_second(clock: PacingClock) -> None:
    bucket = TokenBucket(25, clock)
    assert [started(bucket), started(bucket)] == [5, 0]


def test_the_bucket_fills_at_its_rate(clock: PacingClock) -> None:
    bucket = TokenBucket(25, clock)
    started(bucket)
    clock.now += 0.081
    assert [started(bucket), started(bucket)] == [2, 0]


def test_the_bucket_holds_at_most_its_burst(clock: PacingClock) -> None:
    bucket = TokenBucket(25, clock)
    clock.now += 3_600
    assert started(bucket) == 5


@pytest.mark.parametrize("rate", [0.5, 3, 25, 400])
def test_a_minute_allows_the_rate_and_one_burst(clock: PacingClock, rate: float) -> None:
    bucket, total = TokenBucket(rate, clock), 0
    burst = max(1.0, rate * 0.2)
    for _ in range(6_000):
        total += started(bucket)
        clock.now += 0.01
    assert rate * 60 * 0.97 <= total <= rate * 60 + burst


def test_a_slow_rate_still_starts_one_at_a_time(clock: PacingClock) -> None:
    bucket = TokenBucket(0.5, clock)
    assert [started(bucket), started(bucket)] == [1, 0]
    clock.now += 1.9
    assert started(bucket) == 0
    clock.now += 0.2
    assert started(bucket) == 1


def test_the_bucket_grants_the_requested_amount_and_keeps_the_rest(clock: PacingClock) -> None:
    bucket = TokenBucket(25, clock)
    assert [started(bucket, most=2), started(bucket, most=2), started(bucket, most=2)] == [2, 2, 1]


def test_an_unused_allowance_is_not_lost(clock: PacingClock) -> None:
    bucket = TokenBucket(25, clock)
    assert [bucket.available(16), bucket.available(16)] == [5, 5]


def test_a_rate_of_zero_is_no_limit(clock: PacingClock) -> None:
    bucket = TokenBucket(0, clock)
    assert [started(bucket, most=16) for _ in range(3)] == [16, 16, 16]
    assert bucket.seconds_to_next() == 0.0


def test_several_may_start_after_the_named_wait(clock: PacingClock) -> None:
    bucket = TokenBucket(25, clock)
    started(bucket)
    clock.now += bucket.seconds_to_next() + 1e-6
    assert started(bucket) == 5


def test_the_bucket_never_returns_a_wait_of_zero(clock: PacingClock) -> None:
    assert TokenBucket(25, clock).seconds_to_next() > 0
