"""Test when another Temporal store replaces the adopted one."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.temporal_stores import CERTAIN_AFTER, RESET_AFTER, KnownNamespace, is_certain, observe_store

START = datetime(2026, 11, 29, 9, tzinfo=UTC)
EVERY = 5


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def after_sightings(known: KnownNamespace, store: str, start: int, end: int) -> KnownNamespace:
    """Return what is known after processes have seen the store every five seconds."""
    for second in range(start, end + 1, EVERY):
        known = observe_store(known, store, at(second))
    return known


KNOWN = observe_store(KnownNamespace(), "old", START)
WAIT = int(RESET_AFTER.total_seconds())


def test_the_first_store_is_adopted_at_once() -> None:
    assert (KNOWN.namespace_id, KNOWN.seen_at) == ("old", START)


def test_another_store_is_adopted_after_two_minutes() -> None:
    assert after_sightings(KNOWN, "new", 5, WAIT).namespace_id == "old"
    assert after_sightings(KNOWN, "new", 5, WAIT + 5) == KnownNamespace(namespace_id="new", seen_at=at(WAIT + 5))


def test_a_wrong_address_for_a_minute_adopts_nothing() -> None:
    known = after_sightings(KNOWN, "wrong", 5, 65)
    known = after_sightings(known, "old", 70, 100)
    assert (known.namespace_id, known.other_since) == ("old", None)
    assert after_sightings(known, "wrong", 105, 105 + WAIT - 5).namespace_id == "old"


def test_a_process_that_sees_the_former_store_prevents_the_adoption() -> None:
    known = KNOWN
    for second in range(0, 3 * WAIT, 30):
        known = after_sightings(known, "other", second, second + 25)
        known = observe_store(known, "old", at(second + 27))
    assert known.namespace_id == "old"


@pytest.mark.parametrize(("gap", "adopted"), [(20, "new"), (21, "old")])
def test_a_gap_between_two_looks_starts_the_count_again(gap: int, adopted: str) -> None:
    known = after_sightings(KNOWN, "new", 5, 100)
    assert after_sightings(known, "new", 100 + gap, WAIT + 6).namespace_id == adopted


def test_a_third_store_starts_the_count_again() -> None:
    known = after_sightings(KNOWN, "new", 5, 100)
    assert after_sightings(known, "third", 105, 105 + WAIT - 5).namespace_id == "old"
    assert after_sightings(known, "third", 105, 105 + WAIT).namespace_id == "third"


def test_a_confirmed_store_is_adopted_when_it_is_seen() -> None:
    known = KnownNamespace(namespace_id="old", seen_at=START, confirmed_id="new")
    assert observe_store(known, "third", at(1)).namespace_id == "old"
    assert observe_store(known, "new", at(1)) == KnownNamespace(namespace_id="new", seen_at=at(1))


def test_a_confirmation_ends_when_the_adopted_store_is_seen() -> None:
    known = observe_store(KnownNamespace(namespace_id="old", seen_at=START, confirmed_id="new"), "old", at(1))
    assert observe_store(known, "new", at(2)).namespace_id == "old"


def test_an_unadopted_or_new_store_proves_no_loss() -> None:
    assert is_certain(KNOWN, "old", at(1))
    assert not is_certain(KNOWN, "new", at(1))
    known = observe_store(KNOWN, "wrong", at(5))
    quiet = CERTAIN_AFTER.total_seconds()
    assert not is_certain(known, "old", at(5 + quiet))
    assert is_certain(known, "old", at(6 + quiet))
