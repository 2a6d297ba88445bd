"""The circuit and the weight of one provider, moved by what its calls came to and by time."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.circuits import CircuitState, Health, Tally, advance, ordered, quiet_for, weights
from tests.domain.ledgers import START, later

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN
NOTHING = Tally()


def well(**more: object) -> Health:
    return replace(Health(provider="p", changed_at=START, weighed_at=START), **more)  # type: ignore[arg-type]


def after(health: Health, *told: tuple[float, Tally]) -> Health:
    for seconds, tally in told:
        health = advance(health, tally, later(seconds))
    return health


def errors(count: int, of: int | None = None) -> Tally:
    return Tally(calls=count if of is None else of, errors=count)


def refused(*people: str) -> Tally:
    return Tally(calls=len(people), refusers=people)


@pytest.mark.parametrize(
    ("told", "state", "reason"),
    [
        ([(0.2, errors(5))], OPEN, "errors"),
        ([(1, errors(4))], CLOSED, None),
        ([(1, errors(3)), (20, errors(2))], OPEN, "errors"),
        ([(1, errors(3)), (40, errors(2))], CLOSED, None),
        ([(1, errors(5, of=10))], OPEN, "errors"),
        ([(1, errors(5, of=11))], CLOSED, None),
        ([(1, Tally(calls=10, slow=5))], OPEN, "slow"),
        ([(1, Tally(calls=9, slow=9))], CLOSED, None),
        ([(1, refused("ada", "ben", "cyd"))], OPEN, "credentials_refused"),
        ([(1, refused("ada")), (2, refused("ben")), (300, refused("cyd"))], OPEN, "credentials_refused"),
        ([(1, refused("ada")), (2, refused("ada")), (3, refused("ada"))], CLOSED, None),
        ([(1, refused("ada", "ben")), (2, Tally(calls=1)), (3, refused("cyd"))], CLOSED, None),
    ],
)
def test_it_opens_on_errors_slowness_or_refused_credentials(
    told: list[tuple[float, Tally]], state: CircuitState, reason: str | None
) -> None:
    health = after(well(), *told)
    assert (health.state, health.reason) == (state, reason)


def test_while_it_is_open_only_time_moves_it() -> None:
    opened = after(well(), (1, errors(5)))
    assert opened.probe_at == later(6)
    assert after(opened, (5, Tally(calls=3))).state is OPEN
    assert (after(opened, (6, NOTHING)).state, after(opened, (6, NOTHING)).probes) == (HALF_OPEN, 3)


def test_three_good_calls_close_it_and_one_bad_call_opens_it_for_longer() -> None:
    probing = after(well(), (1, errors(5)), (6, NOTHING))
    assert after(probing, (7, Tally(calls=2))).state is HALF_OPEN
    assert after(probing, (7, Tally(calls=2)), (8, Tally(calls=1))).state is CLOSED
    again = after(probing, (7, errors(1, of=3)))
    assert (again.state, again.probe_at) == (OPEN, later(17))


def test_it_cools_down_ever_longer_and_at_most_five_minutes() -> None:
    health, at = after(well(), (1, errors(5))), 1.0
    waits = []
    for _ in range(9):
        assert health.probe_at is not None
        waits.append((health.probe_at - later(at)).total_seconds())
        at += waits[-1]
        health = after(health, (at, NOTHING), (at, errors(1)))
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_credentials_are_tried_again_after_a_minute() -> None:
    assert after(well(), (1, refused("a", "b", "c"))).probe_at == later(61)


def test_probes_that_nobody_reports_are_granted_again() -> None:
    probing = after(well(), (1, errors(5)), (6, NOTHING))
    used = replace(probing, probes=0)
    assert after(used, (20, NOTHING)).probes == 0
    assert after(used, (36, NOTHING)).probes == 3


def test_after_an_outage_it_gets_its_weight_back_in_steps() -> None:
    closed = after(well(), (1, errors(5)), (6, NOTHING), (7, Tally(calls=3)))
    penalties = [after(closed, *((7 + 61 * step, NOTHING) for step in range(1, n + 1))).penalty for n in range(5)]
    assert penalties == [30, 20, 10, 0, 0]


def test_errors_cost_ten_points_a_minute_and_no_more() -> None:
    many = Tally(calls=1_000, errors=60)
    health = after(well(), (60, many), (61, many), (62, many))
    assert (health.state, health.penalty) == (CLOSED, 10)
    assert after(health, (121, many)).penalty == 20


def test_so_does_slowness() -> None:
    assert after(well(), (61, Tally(calls=100, slow=15))).penalty == 10
    assert after(well(), (61, Tally(calls=100, slow=14))).penalty == 0
    assert after(well(), (61, Tally(calls=19, slow=9))).penalty == 0


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
def test_what_one_loses_the_other_gets(health: Health, shares: dict[str, int]) -> None:
    assert weights({"p": 60, "q": 40}, {"p": health}) == shares


def test_whom_to_ask_first_is_drawn_by_weight() -> None:
    pool = {"p": 60, "q": 40}
    firsts = [ordered(pool, {}, dice / 100)[0] for dice in range(100)]
    assert (firsts.count("p"), firsts.count("q")) == (60, 40)


def test_one_that_stands_by_is_asked_last_until_the_first_is_down() -> None:
    pool = {"p": 100, "q": 0}
    assert {tuple(ordered(pool, {}, dice / 100)) for dice in range(100)} == {("p", "q")}
    assert {tuple(ordered(pool, {"p": well(state=OPEN)}, dice / 100)) for dice in range(100)} == {("q", "p")}


def test_with_all_of_them_down_the_order_stays() -> None:
    down = {name: replace(well(state=OPEN), provider=name) for name in ("p", "q")}
    assert list(ordered({"p": 60, "q": 40}, down, 0.99)) == ["p", "q"]


def test_a_good_while_forgets_how_often_it_opened() -> None:
    closed = after(well(), (1, errors(5)), (6, NOTHING), (7, Tally(calls=3)))
    quiet = after(closed, *((7 + 61 * step, NOTHING) for step in range(1, 6)))
    assert (closed.openings, quiet.openings) == (1, 0)


def test_memory_is_a_minute() -> None:
    health = after(well(), *((at, Tally(calls=1)) for at in range(300)))
    assert len(health.recent) <= 60
    assert timedelta(seconds=health.recent[-1][0] - health.recent[0][0]) < timedelta(minutes=1)


def quiet(seconds: float) -> Tally:
    return Tally(calls=1, quiet=timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("told", "until"),
    [
        ([(1, quiet(30))], 31),
        ([(1, quiet(30)), (2, quiet(1))], 31),
        ([(1, quiet(1)), (1.5, quiet(30))], 31.5),
        ([(1, quiet(30)), (30.9, NOTHING)], 31),
        ([(1, quiet(30)), (31, NOTHING)], None),
        ([(1, NOTHING)], None),
    ],
)
def test_a_vendor_that_wants_no_calls_is_left_alone_for_the_longest_it_asked_for(
    told: list[tuple[float, Tally]], until: float | None
) -> None:
    health = after(well(), *told)
    assert health.quiet_until == (None if until is None else later(until))
    assert health.state is CLOSED


def test_it_is_quiet_up_to_that_moment_and_moves_by_itself_until_then() -> None:
    health = after(well(), (1, quiet(2)))
    assert (health.is_quiet(later(2.9)), health.is_quiet(later(3))) == (True, False)
    assert health.moves_by_itself
    assert not after(health, (3, NOTHING)).moves_by_itself


@pytest.mark.parametrize(("asked", "seconds"), [(None, 1), (0, 0), (30, 30), (86_400, 300)])
def test_it_is_left_alone_as_long_as_it_says_and_at_most_five_minutes(asked: float | None, seconds: float) -> None:
    retry_after = None if asked is None else timedelta(seconds=asked)
    assert quiet_for(retry_after) == timedelta(seconds=seconds)
