"""Test the circuit and the weight of one provider, after calls and over time."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.circuits import (
    CallTally,
    CircuitHealth,
    CircuitState,
    advance_health,
    order_providers,
    throttle_duration,
    traffic_shares,
)
from tests.domain.ledgers import START, later

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN
NOTHING = CallTally()


def well(**more: object) -> CircuitHealth:
    return replace(CircuitHealth(provider="p", changed_at=START, penalty_updated_at=START), **more)  # type: ignore[arg-type]


def after(health: CircuitHealth, *tallies: tuple[float, CallTally]) -> CircuitHealth:
    for seconds, tally in tallies:
        health = advance_health(health, tally, later(seconds))
    return health


def errors(count: int, of: int | None = None) -> CallTally:
    return CallTally(calls=count if of is None else of, errors=count)


def refused_tally(*people: str) -> CallTally:
    return CallTally(calls=len(people), credential_failures=people)


@pytest.mark.parametrize(
    ("tallies", "state", "reason"),
    [
        ([(0.2, errors(5))], OPEN, "errors"),
        ([(1, errors(4))], CLOSED, None),
        ([(1, errors(3)), (20, errors(2))], OPEN, "errors"),
        ([(1, errors(3)), (40, errors(2))], CLOSED, None),
        ([(1, errors(5, of=10))], OPEN, "errors"),
        ([(1, errors(5, of=11))], CLOSED, None),
        ([(1, CallTally(calls=10, slow=5))], OPEN, "slow"),
        ([(1, CallTally(calls=9, slow=9))], CLOSED, None),
        ([(1, refused_tally("ada", "ben", "cyd"))], OPEN, "credentials_refused"),
        (
            [(1, refused_tally("ada")), (2, refused_tally("ben")), (300, refused_tally("cyd"))],
            OPEN,
            "credentials_refused",
        ),
        ([(1, refused_tally("ada")), (2, refused_tally("ada")), (3, refused_tally("ada"))], CLOSED, None),
        ([(1, refused_tally("ada", "ben")), (2, CallTally(calls=1)), (3, refused_tally("cyd"))], CLOSED, None),
    ],
)
def test_a_circuit_opens_on_errors_slowness_or_refused_credentials(
    tallies: list[tuple[float, CallTally]], state: CircuitState, reason: str | None
) -> None:
    health = after(well(), *tallies)
    assert (health.state, health.reason) == (state, reason)


def test_only_time_moves_an_open_circuit() -> None:
    opened = after(well(), (1, errors(5)))
    assert opened.probe_at == later(6)
    assert after(opened, (5, CallTally(calls=3))).state is OPEN
    assert (after(opened, (6, NOTHING)).state, after(opened, (6, NOTHING)).probes) == (HALF_OPEN, 3)


def test_three_successes_close_a_circuit_and_one_failure_reopens_it_longer() -> None:
    probing = after(well(), (1, errors(5)), (6, NOTHING))
    assert after(probing, (7, CallTally(calls=2))).state is HALF_OPEN
    assert after(probing, (7, CallTally(calls=2)), (8, CallTally(calls=1))).state is CLOSED
    again = after(probing, (7, errors(1, of=3)))
    assert (again.state, again.probe_at) == (OPEN, later(17))


def test_cooldowns_grow_up_to_five_minutes() -> None:
    health, at = after(well(), (1, errors(5))), 1.0
    waits = []
    for _ in range(9):
        assert health.probe_at is not None
        waits.append((health.probe_at - later(at)).total_seconds())
        at += waits[-1]
        health = after(health, (at, NOTHING), (at, errors(1)))
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_refused_credentials_are_retried_after_a_minute() -> None:
    assert after(well(), (1, refused_tally("a", "b", "c"))).probe_at == later(61)


def test_unreported_probes_are_granted_again() -> None:
    probing = after(well(), (1, errors(5)), (6, NOTHING))
    used = replace(probing, probes=0)
    assert after(used, (20, NOTHING)).probes == 0
    assert after(used, (36, NOTHING)).probes == 3


def test_a_provider_regains_its_weight_in_steps_after_an_outage() -> None:
    closed = after(well(), (1, errors(5)), (6, NOTHING), (7, CallTally(calls=3)))
    penalties = [after(closed, *((7 + 61 * step, NOTHING) for step in range(1, n + 1))).penalty for n in range(5)]
    assert penalties == [30, 20, 10, 0, 0]


def test_errors_cost_ten_points_a_minute_and_no_more() -> None:
    many = CallTally(calls=1_000, errors=60)
    health = after(well(), (60, many), (61, many), (62, many))
    assert (health.state, health.penalty) == (CLOSED, 10)
    assert after(health, (121, many)).penalty == 20


def test_so_does_slowness() -> None:
    assert after(well(), (61, CallTally(calls=100, slow=15))).penalty == 10
    assert after(well(), (61, CallTally(calls=100, slow=14))).penalty == 0
    assert after(well(), (61, CallTally(calls=19, slow=9))).penalty == 0


@pytest.mark.parametrize(
    ("health", "shares"),
    [
        (well(), {"p": 60, "q": 40}),
        (well(penalty=20), {"p": 40, "q": 60}),
        (well(penalty=90), {"p": 0, "q": 100}),
        (well(state=OPEN), {"p": 0, "q": 100}),
        (well(state=HALF_OPEN), {"p": 30, "q": 70}),
    ],
)
def test_traffic_lost_by_one_provider_goes_to_the_other(health: CircuitHealth, shares: dict[str, int]) -> None:
    assert traffic_shares({"p": 60, "q": 40}, {"p": health}) == shares


def test_the_first_provider_is_drawn_by_weight() -> None:
    pool = {"p": 60, "q": 40}
    firsts = [order_providers(pool, {}, rand / 100)[0] for rand in range(100)]
    assert (firsts.count("p"), firsts.count("q")) == (60, 40)


def test_a_standby_provider_is_last_until_the_first_is_down() -> None:
    pool = {"p": 100, "q": 0}
    assert {tuple(order_providers(pool, {}, rand / 100)) for rand in range(100)} == {("p", "q")}
    assert {tuple(order_providers(pool, {"p": well(state=OPEN)}, rand / 100)) for rand in range(100)} == {("q", "p")}


def test_with_all_of_them_down_the_order_stays() -> None:
    down = {name: replace(well(state=OPEN), provider=name) for name in ("p", "q")}
    assert list(order_providers({"p": 60, "q": 40}, down, 0.99)) == ["p", "q"]


def test_a_healthy_period_resets_the_count_of_openings() -> None:
    closed = after(well(), (1, errors(5)), (6, NOTHING), (7, CallTally(calls=3)))
    throttled_tally = after(closed, *((7 + 61 * step, NOTHING) for step in range(1, 6)))
    assert (closed.open_count, throttled_tally.open_count) == (1, 0)


def test_memory_is_a_minute() -> None:
    health = after(well(), *((at, CallTally(calls=1)) for at in range(300)))
    assert len(health.recent) <= 60
    assert timedelta(seconds=health.recent[-1][0] - health.recent[0][0]) < timedelta(minutes=1)


def throttled_tally(seconds: float) -> CallTally:
    return CallTally(calls=1, throttled_for=timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("tallies", "until"),
    [
        ([(1, throttled_tally(30))], 31),
        ([(1, throttled_tally(30)), (2, throttled_tally(1))], 31),
        ([(1, throttled_tally(1)), (1.5, throttled_tally(30))], 31.5),
        ([(1, throttled_tally(30)), (30.9, NOTHING)], 31),
        ([(1, throttled_tally(30)), (31, NOTHING)], None),
        ([(1, NOTHING)], None),
    ],
)
def test_a_throttled_vendor_is_left_alone_for_its_longest_request(
    tallies: list[tuple[float, CallTally]], until: float | None
) -> None:
    health = after(well(), *tallies)
    assert health.throttled_until == (None if until is None else later(until))
    assert health.state is CLOSED


def test_a_throttle_lasts_until_its_end_and_extends_by_itself() -> None:
    health = after(well(), (1, throttled_tally(2)))
    assert (health.is_throttled(later(2.9)), health.is_throttled(later(3))) == (True, False)
    assert health.changes_with_time
    assert not after(health, (3, NOTHING)).changes_with_time


@pytest.mark.parametrize(("asked", "seconds"), [(None, 1), (0, 0), (30, 30), (86_400, 300)])
def test_a_throttle_lasts_as_requested_and_at_most_five_minutes(asked: float | None, seconds: float) -> None:
    retry_after = None if asked is None else timedelta(seconds=asked)
    assert throttle_duration(retry_after) == timedelta(seconds=seconds)
