"""All processes together decide when another Temporal store has taken the place of the adopted one."""

import asyncio

import pytest

from storage import stores
from storage.database import Database
from tests.storage.queues import accepted, started
from tests.storage.recoveries import batch, confirmed, due, lost, seen
from tests.storage.sends import Desk, open_desk

pytestmark = pytest.mark.postgres

AGE = """
UPDATE engine_state SET seen_at = seen_at - make_interval(secs => :seconds),
       other_since = other_since - make_interval(secs => :seconds)
"""


@pytest.fixture
async def desk(database: Database) -> Desk:
    """There is nothing in the database but what the test puts there."""
    desk = await open_desk(database)
    await desk.query("TRUNCATE notification, queue_entry, engine_state CASCADE")
    return desk


async def test_the_first_store_starts_nothing_again(desk: Desk) -> None:
    await started(desk.database, *(await accepted(desk, 3)))
    for _ in range(2):
        assert (await seen(desk.database, "old")).lost is None
    assert await batch(desk.database) is None
    assert await due(desk) == set()


async def test_a_wrong_address_for_a_minute_starts_nothing_again(desk: Desk) -> None:
    await started(desk.database, *(await accepted(desk, 3)))
    await seen(desk.database, "old")
    await seen(desk.database, "wrong")
    await desk.query(AGE, seconds=60)
    assert (await seen(desk.database, "wrong")).known.namespace_id == "old"
    assert (await seen(desk.database, "old")).known.other_since is None
    await desk.query(AGE, seconds=90)
    assert (await seen(desk.database, "wrong")).lost is None
    assert await batch(desk.database) is None


async def test_another_store_is_adopted_when_all_have_seen_it_for_two_minutes(desk: Desk) -> None:
    await started(desk.database, *(await accepted(desk, 3, 3)))
    await seen(desk.database, "old")
    await seen(desk.database, "new")
    await desk.query(AGE, seconds=121)
    assert (await seen(desk.database, "new")).lost == 2
    assert (await seen(desk.database, "new")).lost is None


async def test_of_several_that_see_a_confirmed_store_one_adopts_it(desk: Desk) -> None:
    await started(desk.database, *(await accepted(desk, *[3] * 5)))
    await seen(desk.database, "old")
    await confirmed(desk.database, "new")
    reports = await asyncio.gather(*(seen(desk.database, "new") for _ in range(3)))
    assert sorted(report.lost or 0 for report in reports) == [0, 0, 5]


async def test_the_adopted_store_needs_no_confirmation(desk: Desk) -> None:
    await seen(desk.database, "old")
    await confirmed(desk.database, "old")
    await seen(desk.database, "new")
    assert (await seen(desk.database, "old")).known.confirmed_id is None


@pytest.mark.parametrize(("store", "may"), [("old", True), ("wrong", False)])
async def test_what_is_not_found_is_lost_only_in_the_adopted_store(desk: Desk, store: str, may: bool) -> None:
    async with desk.database.transaction() as session:
        assert not await stores.may_conclude(session, store)
    await seen(desk.database, "old")
    async with desk.database.transaction() as session:
        assert await stores.may_conclude(session, store) is may
    await seen(desk.database, "wrong")
    async with desk.database.transaction() as session:
        assert not await stores.may_conclude(session, store)


async def test_a_store_that_is_lost_during_a_recovery_begins_another_one(desk: Desk) -> None:
    some = await accepted(desk, 1, 3, 3)
    await started(desk.database, *some)
    assert await lost(desk.database, "new") == 3
    await batch(desk.database, 2)
    await started(desk.database, *some[:2])
    await confirmed(desk.database, "newer")
    assert (await seen(desk.database, "newer")).lost == 3
    assert (await batch(desk.database)) is not None
    assert await due(desk) == set(some)
