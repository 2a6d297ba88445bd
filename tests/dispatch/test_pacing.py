"""How many may start now, by a clock that the test turns."""

import pytest

from dispatch.pacing import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def started(pace: Pace, most: int = 1_000) -> int:
    """As the dispatcher does: take what is allowed, and spend it."""
    starts = pace.allowance(most)
    pace.spend(starts)
    return starts


def test_it_begins_with_a_fifth_of_a_second(clock: Clock) -> None:
    pace = Pace(25, clock)
    assert [started(pace), started(pace)] == [5, 0]


def test_it_fills_at_its_rate(clock: Clock) -> None:
    pace = Pace(25, clock)
    started(pace)
    clock.now += 0.081
    assert [started(pace), started(pace)] == [2, 0]


def test_it_never_saves_up_more_than_its_burst(clock: Clock) -> None:
    pace = Pace(25, clock)
    clock.now += 3_600
    assert started(pace) == 5


@pytest.mark.parametrize("rate", [0.5, 3, 25, 400])
def test_over_a_minute_it_allows_its_rate_and_one_burst(clock: Clock, rate: float) -> None:
    pace, total = Pace(rate, clock), 0
    burst = max(1.0, rate * 0.2)
    for _ in range(6_000):
        total += started(pace)
        clock.now += 0.01
    assert rate * 60 * 0.97 <= total <= rate * 60 + burst


def test_a_slow_rate_still_starts_one_at_a_time(clock: Clock) -> None:
    pace = Pace(0.5, clock)
    assert [started(pace), started(pace)] == [1, 0]
    clock.now += 1.9
    assert started(pace) == 0
    clock.now += 0.2
    assert started(pace) == 1


def test_no_more_than_was_asked_for_and_the_rest_is_kept(clock: Clock) -> None:
    pace = Pace(25, clock)
    assert [started(pace, most=2), started(pace, most=2), started(pace, most=2)] == [2, 2, 1]


def test_what_was_allowed_but_not_used_is_not_lost(clock: Clock) -> None:
    pace = Pace(25, clock)
    assert [pace.allowance(16), pace.allowance(16)] == [5, 5]


def test_a_rate_of_zero_is_no_limit(clock: Clock) -> None:
    pace = Pace(0, clock)
    assert [started(pace, most=16) for _ in range(3)] == [16, 16, 16]
    assert pace.seconds_to_next() == 0.0


def test_after_the_wait_that_it_names_a_handful_may_start(clock: Clock) -> None:
    pace = Pace(25, clock)
    started(pace)
    clock.now += pace.seconds_to_next() + 1e-6
    assert started(pace) == 5


def test_it_never_asks_for_a_wait_of_nothing(clock: Clock) -> None:
    assert Pace(25, clock).seconds_to_next() > 0
