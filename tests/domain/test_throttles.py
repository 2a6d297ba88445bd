"""Test fixed windows of limits, and which notifications count for which limit."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain.gates import GateReason, counted_limits
from domain.throttles import LimitWindow, SlotQueue, has_free_slot, slot_at, with_slot_taken
from domain.timing import FrequencyLimit, ThrottleRule, ThrottleScope, Timing
from tests.domain.ledgers import later
from tests.domain.sample_types import sample_type

THREE = FrequencyLimit(max_count=3, per=timedelta(hours=1))
WINDOW = LimitWindow(key="k", starts_at=later(0), ends_at=later(3600), used_slots=0)


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
def test_free_capacity_excludes_used_and_promised_slots(used: int, ahead: int, at: float, room: bool) -> None:
    assert has_free_slot(THREE, replace(WINDOW, used_slots=used, waiting_ahead=ahead), later(at)) is room


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
    window = replace(WINDOW, used_slots=used, has_waiters=waiting > 0)
    assert slot_at(THREE, window, SlotQueue(waiting=waiting, waiting_ahead=ahead), later(at)) == later(slot)


def test_a_window_with_waiting_requests_is_not_opened_by_others() -> None:
    assert not has_free_slot(THREE, replace(WINDOW, has_waiters=True), later(4000))
    assert has_free_slot(THREE, replace(WINDOW, has_waiters=True), later(10))
    assert has_free_slot(THREE, replace(WINDOW, has_waiters=True, has_slot=True), later(4000))


def test_a_granted_slot_is_kept() -> None:
    full = replace(WINDOW, used_slots=3, waiting_ahead=3, has_slot=True)
    assert has_free_slot(THREE, full, later(10))
    assert with_slot_taken(THREE, full, later(10)) is full


def test_the_first_after_its_end_begins_the_next_window() -> None:
    assert with_slot_taken(THREE, replace(WINDOW, used_slots=3), later(4000)) == LimitWindow(
        key="k", starts_at=later(4000), ends_at=later(7600), used_slots=1
    )
    assert with_slot_taken(THREE, replace(WINDOW, used_slots=1), later(10)) == replace(WINDOW, used_slots=2)


def claimed(priority: int = 3, cap: FrequencyLimit | None = None, **more: Any) -> dict[GateReason, str]:
    return {reason: each.key for reason, each in counted_limits(sample_type(**more), priority, "ada", cap).items()}


def test_a_type_without_a_limit_counts_for_nothing() -> None:
    assert claimed() == {}


def test_a_throttle_counts_by_recipient_or_for_all() -> None:
    for scope, key in {
        ThrottleScope.RECIPIENT: "type order.shipped ada",
        ThrottleScope.TENANT: "type order.shipped",
    }.items():
        timing = Timing(throttle=ThrottleRule(limit=THREE, scope=scope))
        assert counted_limits(replace(sample_type(), timing=timing), 3, "ada", None)[GateReason.THROTTLED].key == key


@pytest.mark.parametrize(
    ("priority", "more", "counts"),
    [(3, {}, True), (5, {}, True), (2, {}, False), (1, {}, False), (3, {"required": True}, False)],
)
def test_a_frequency_cap_counts_all_but_urgent_and_required_sends(
    priority: int, more: dict[str, Any], counts: bool
) -> None:
    assert claimed(priority, THREE, **more) == ({GateReason.FREQUENCY_CAPPED: "recipient ada"} if counts else {})
