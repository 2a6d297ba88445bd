"""How much is too much: fixed windows, and who counts for which limit."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain.gates import GateReason, claims
from domain.throttles import Line, Window, has_room, slot_at, taken
from domain.timing import Limit, Scope, Throttle, Timing
from tests.domain.kinds import kind
from tests.domain.ledgers import later

THREE = Limit(most=3, per=timedelta(hours=1))
WINDOW = Window(key="k", starts_at=later(0), ends_at=later(3600), used=0)


@pytest.mark.parametrize(
    ("used", "ahead", "at", "room"),
    [
        (2, 0, 10, True),
        (3, 0, 10, False),
        (2, 1, 10, False),
        (1, 1, 10, True),
        (3, 0, 3599, False),
        (3, 0, 3600, True),
        (3, 3, 3600, False),
        (3, 2, 3600, True),
    ],
    ids=[
        "room",
        "full",
        "full with those ahead",
        "room behind one",
        "not over",
        "over",
        "over, but others are first",
        "last",
    ],
)
def test_room_is_what_neither_others_have_nor_those_ahead_will_take(
    used: int, ahead: int, at: float, room: bool
) -> None:
    assert has_room(THREE, replace(WINDOW, used=used, ahead=ahead), later(at)) is room


@pytest.mark.parametrize(
    ("used", "waiting", "ahead", "at", "slot"),
    [
        (2, 0, 0, 10, 10),
        (3, 0, 0, 10, 3600),
        (3, 2, 2, 10, 3600),
        (3, 3, 3, 10, 7200),
        (3, 7, 7, 10, 10800),
        (3, 7, 2, 10, 3600),
        (3, 0, 0, 3600, 3600),
        (3, 2, 2, 4000, 4000),
        (3, 3, 3, 4000, 7200),
        (3, 9, 9, 4000, 14400),
        (3, 9, 1, 4000, 7200),
        (3, 3, 3, 7200, 7200),
    ],
)
def test_a_slot_is_free_when_those_ahead_have_theirs(
    used: int, waiting: int, ahead: int, at: float, slot: float
) -> None:
    window = replace(WINDOW, used=used, awaited=waiting > 0)
    assert slot_at(THREE, window, Line(waiting=waiting, ahead=ahead), later(at)) == later(slot)


def test_nobody_begins_a_window_that_others_wait_for() -> None:
    assert not has_room(THREE, replace(WINDOW, awaited=True), later(4000))
    assert has_room(THREE, replace(WINDOW, awaited=True), later(10))
    assert has_room(THREE, replace(WINDOW, awaited=True, granted=True), later(4000))


def test_what_has_a_slot_keeps_it() -> None:
    full = replace(WINDOW, used=3, ahead=3, granted=True)
    assert has_room(THREE, full, later(10))
    assert taken(THREE, full, later(10)) is full


def test_the_first_after_its_end_begins_the_next_window() -> None:
    assert taken(THREE, replace(WINDOW, used=3), later(4000)) == Window(
        key="k", starts_at=later(4000), ends_at=later(7600), used=1
    )
    assert taken(THREE, replace(WINDOW, used=1), later(10)) == replace(WINDOW, used=2)


def claimed(priority: int = 3, cap: Limit | None = None, **more: Any) -> dict[GateReason, str]:
    return {reason: each.key for reason, each in claims(kind(**more), priority, "ada", cap).items()}


def test_a_type_without_a_limit_counts_for_nothing() -> None:
    assert claimed() == {}


def test_a_throttle_counts_by_person_or_for_all() -> None:
    for scope, key in {Scope.RECIPIENT: "type order.shipped ada", Scope.TENANT: "type order.shipped"}.items():
        timing = Timing(throttle=Throttle(limit=THREE, scope=scope))
        assert claims(replace(kind(), timing=timing), 3, "ada", None)[GateReason.THROTTLED].key == key


@pytest.mark.parametrize(
    ("priority", "more", "counts"),
    [(3, {}, True), (5, {}, True), (2, {}, False), (1, {}, False), (3, {"required": True}, False)],
)
def test_a_cap_counts_all_but_what_is_urgent_or_required(priority: int, more: dict[str, Any], counts: bool) -> None:
    assert claimed(priority, THREE, **more) == ({GateReason.CAPPED: "person ada"} if counts else {})
