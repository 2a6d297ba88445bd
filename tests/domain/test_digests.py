"""Test the window of an item, its closing time, and the merged items."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.cron import parse_cron
from domain.digests import (
    MAX_BYTES,
    CollectResult,
    DigestItem,
    DigestMember,
    DigestWindow,
    collect_items,
    digest_key,
    digest_key_value,
    merge_items,
)
from domain.statuses import NotificationStatus
from domain.timing import DigestRule
from tests.domain.ledgers import later

N = NotificationStatus
TYPE = uuid4()
FIXED = DigestRule(window=timedelta(seconds=60))
DAILY = DigestRule(schedule=parse_cron("0 9 * * *"))
SLIDING = DigestRule(window=timedelta(seconds=60), sliding=True, max_window=timedelta(seconds=150))


def item(seconds: float, **more: Any) -> DigestItem:
    return DigestItem(**{"id": uuid4(), "at": later(seconds), "bytes": 10, "type_id": TYPE, "zone": "UTC", **more})


def collected(rule: DigestRule, *items: DigestItem, window: DigestWindow | None = None) -> CollectResult:
    numbers = count(1)
    return collect_items(rule, window, items, lambda: UUID(int=next(numbers)))


def sizes(done: CollectResult) -> list[int]:
    return [window.item_count for window in done.windows]


def test_a_window_begins_with_its_first_item_and_does_not_move() -> None:
    [window] = collected(FIXED, item(0), item(30), item(59)).windows
    assert (window.opened_at, window.closes_at, window.item_count, window.is_full) == (later(0), later(60), 3, False)


def test_an_item_at_the_end_of_a_window_opens_the_next_window() -> None:
    """It makes no difference whether the window has been closed."""
    first, second = collected(FIXED, item(0), item(60)).windows
    assert (first.is_full, first.item_count) == (True, 1)
    assert (second.opened_at, second.closes_at, second.is_full) == (later(60), later(120), False)


def test_a_sliding_window_moves_with_each_item_up_to_its_end() -> None:
    done = collected(SLIDING, item(0), item(50), item(100), item(140))
    [window] = done.windows
    assert (window.closes_at, window.closes_by) == (later(150), later(150))
    [early] = collected(SLIDING, item(0), item(50)).windows
    assert early.closes_at == later(110)


def test_slightly_older_items_move_no_window_back() -> None:
    """Another process accepted them, by another clock."""
    [window] = collected(SLIDING, item(50), item(40)).windows
    assert window.closes_at == later(110)


def test_an_open_window_accepts_items() -> None:
    [before] = collected(FIXED, item(0)).windows
    [after] = collected(FIXED, item(20), window=replace(before, members=())).windows
    assert (after.id, after.item_count, after.closes_at) == (before.id, 2, later(60))


def test_the_next_window_opens_when_one_is_full() -> None:
    done = collected(replace(FIXED, max_items=3), *(item(second) for second in range(7)))
    assert sizes(done) == [3, 3, 1]
    assert [window.is_full for window in done.windows] == [True, True, False]


def test_large_items_fill_a_window() -> None:
    done = collected(FIXED, item(0, bytes=MAX_BYTES // 2), item(1, bytes=MAX_BYTES // 2), item(2))
    assert sizes(done) == [2, 1]


def test_a_window_follows_the_newest_version_of_its_type() -> None:
    newer = uuid4()
    [window] = collected(FIXED, item(0), item(1, type_id=newer)).windows
    assert window.type_id == newer


@pytest.mark.parametrize("rules", [(FIXED, DAILY), (DAILY, FIXED)])
def test_a_window_keeps_the_digest_rule_of_its_version(
    rules: tuple[DigestRule, DigestRule],
) -> None:
    before, after = rules
    [opened] = collected(before, item(0)).windows
    [window] = collected(after, item(1, type_id=uuid4()), window=replace(opened, members=())).windows
    assert (window.type_id, window.closes_at, window.item_count) == (TYPE, opened.closes_at, 2)


def test_the_first_item_is_sent_alone_only_without_recent_items() -> None:
    rule = replace(FIXED, send_first_immediately=True)
    first, second = item(0), item(1)
    done = collected(rule, first, second)
    assert (done.released, sizes(done)) == (first, [1])
    assert done.windows[0].members == (second.id,)
    again = collected(rule, item(2), window=done.windows[0])
    assert (again.released, sizes(again)) == (None, [2])


def test_an_item_from_a_gate_is_collected_even_as_the_first() -> None:
    """It has had its workflow, and would never get another one."""
    rule = replace(FIXED, send_first_immediately=True)
    done = collected(rule, item(0, is_handed_over=True), item(1))
    assert (done.released, sizes(done)) == (None, [2])


def test_a_scheduled_window_closes_at_the_next_occurrence_in_the_recipients_zone() -> None:
    [berlin] = collected(DAILY, item(0, zone="Europe/Berlin", at=datetime.fromisoformat("2026-03-01T12:00Z"))).windows
    assert (berlin.closes_at.isoformat(), berlin.closes_on_schedule) == ("2026-03-02T08:00:00+00:00", True)


def test_an_unknown_zone_counts_as_utc() -> None:
    rule = DigestRule(schedule=parse_cron("0 9 * * *"))
    [window] = collected(rule, item(0, zone="Mars/Olympus", at=datetime.fromisoformat("2026-03-01T12:00Z"))).windows
    assert window.closes_at.isoformat() == "2026-03-02T09:00:00+00:00"


@given(st.lists(st.integers(0, 400), min_size=1, max_size=40), st.integers(1, 5), st.booleans())
def test_every_item_is_in_one_window_or_released(
    seconds: list[int], max_items: int, send_first_immediately: bool
) -> None:
    items = [item(second, is_handed_over=second % 3 == 0) for second in sorted(seconds)]
    done = collected(replace(SLIDING, max_items=max_items, send_first_immediately=send_first_immediately), *items)
    members = [id for window in done.windows for id in window.members]
    released = [] if done.released is None else [done.released.id]
    assert sorted([*members, *released], key=str) == sorted([one.id for one in items], key=str)
    assert all(window.item_count == len(window.members) <= max_items for window in done.windows)
    assert [window.is_full for window in done.windows[:-1]] == [True] * (len(done.windows) - 1)


def member(number: int, **more: Any) -> DigestMember:
    fields = {"id": UUID(int=number), "payload": {"n": number}, "priority": 3, "canceled": False, "expires_at": None}
    return DigestMember(**{**fields, **more})


def test_items_keep_their_order_and_the_most_urgent_sets_the_priority() -> None:
    folded = merge_items([member(1), member(2, priority=2), member(3, priority=5)], later(0))
    assert folded.payload == {"items": [{"n": 1}, {"n": 2}, {"n": 3}], "total": 3}
    assert folded.priority == 2
    assert set(folded.ends.values()) == {N.DIGESTED}


def test_a_digest_has_the_channels_and_as_many_tags_as_fit() -> None:
    members = [member(number, channels=("email",), tags=(f"t{number}", "shop")) for number in range(30)]
    folded = merge_items([member(99, canceled=True, tags=("unknown",)), *members], later(0))
    assert folded.channels == ("email",)
    assert folded.tags == ("t0", "shop", *(f"t{number}" for number in range(1, 19)))


def test_erased_and_expired_items_are_excluded() -> None:
    folded = merge_items(
        [member(1, canceled=True), member(2, expires_at=later(0)), member(3, expires_at=later(1))], later(0)
    )
    assert folded.payload["items"] == [{"n": 3}]
    assert list(folded.ends.values()) == [N.CANCELED, N.EXPIRED, N.DIGESTED]


def test_a_window_without_items_merges_to_nothing() -> None:
    assert merge_items([member(1, canceled=True)], later(0)).items == ()


def test_a_digest_key_depends_on_tenant_type_recipient_and_group() -> None:
    tenant, secret = uuid4(), b"secret"
    keys = [
        digest_key(secret, tenant, "news", "mia", None),
        digest_key(secret, tenant, "news", "mia", ""),
        digest_key(secret, tenant, "news", "mia", "a"),
        digest_key(secret, tenant, "news", "bob", None),
        digest_key(secret, tenant, "offers", "mia", None),
        digest_key(secret, uuid4(), "news", "mia", None),
        digest_key(b"other", tenant, "news", "mia", None),
        digest_key(secret, tenant, "news", "mia", None, ["email"]),
        digest_key(secret, tenant, "news", "mia", None, ["email", "sms"]),
        digest_key(secret, tenant, "news", "mia", "email"),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == digest_key(secret, tenant, "news", "mia", None)
    assert keys[-2] == digest_key(secret, tenant, "news", "mia", None, ["sms", "email", "sms"])
    # Neither word is hexadecimal, so no key contains one by chance.
    assert not any(word in key for key in keys for word in ("mia", "news"))


@pytest.mark.parametrize(
    ("payload", "part"),
    [
        ({"project": "7"}, '"7"'),
        ({"project": 7}, "7"),
        ({"project": {"b": 1, "a": True}}, '{"a": true, "b": 1}'),
        ({}, None),
        ({"project": None}, None),
    ],
)
def test_the_part_is_a_value_of_the_payload(payload: dict[str, Any], part: str | None) -> None:
    assert digest_key_value(replace(FIXED, key="project"), payload) == part
    assert digest_key_value(FIXED, payload) is None
