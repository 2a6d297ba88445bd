"""All processes together decide when another Temporal store has taken the place of the adopted one."""

import asyncio

import pytest

from storage import temporal_stores
from storage.database import Database
from tests.storage.queues import accept_notifications, claim_and_start
from tests.storage.sends import DatabaseTenant, open_database_tenant
from tests.storage.store_changes import confirm_store, due_ids, note_store, recover_batch, replace_store

pytestmark = pytest.mark.postgres

AGE = """
UPDATE engine_state SET seen_at = seen_at - make_interval(secs => :seconds),
       other_since = other_since - make_interval(secs => :seconds)
"""


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    """There is nothing in the database but what the test puts there."""
    database_tenant = await open_database_tenant(database)
    await database_tenant.query("TRUNCATE notification, queue_entry, engine_state CASCADE")
    return database_tenant


async def test_the_first_store_starts_nothing_again(database_tenant: DatabaseTenant) -> None:
    await claim_and_start(database_tenant.database, *(await accept_notifications(database_tenant, 3)))
    for _ in range(2):
        assert (await note_store(database_tenant.database, "old")).lost is None
    assert await recover_batch(database_tenant.database) is None
    assert await due_ids(database_tenant) == set()


async def test_a_wrong_address_for_a_minute_starts_nothing_again(database_tenant: DatabaseTenant) -> None:
    await claim_and_start(database_tenant.database, *(await accept_notifications(database_tenant, 3)))
    await note_store(database_tenant.database, "old")
    await note_store(database_tenant.database, "wrong")
    await database_tenant.query(AGE, seconds=60)
    assert (await note_store(database_tenant.database, "wrong")).known.namespace_id == "old"
    assert (await note_store(database_tenant.database, "old")).known.other_since is None
    await database_tenant.query(AGE, seconds=90)
    assert (await note_store(database_tenant.database, "wrong")).lost is None
    assert await recover_batch(database_tenant.database) is None


async def test_another_store_is_adopted_when_all_have_seen_it_for_two_minutes(database_tenant: DatabaseTenant) -> None:
    await claim_and_start(database_tenant.database, *(await accept_notifications(database_tenant, 3, 3)))
    await note_store(database_tenant.database, "old")
    await note_store(database_tenant.database, "new")
    await database_tenant.query(AGE, seconds=121)
    assert (await note_store(database_tenant.database, "new")).lost == 2
    assert (await note_store(database_tenant.database, "new")).lost is None


async def test_of_several_that_see_a_confirmed_store_one_adopts_it(database_tenant: DatabaseTenant) -> None:
    await claim_and_start(database_tenant.database, *(await accept_notifications(database_tenant, *[3] * 5)))
    await note_store(database_tenant.database, "old")
    await confirm_store(database_tenant.database, "new")
    reports = await asyncio.gather(*(note_store(database_tenant.database, "new") for _ in range(3)))
    assert sorted(report.lost or 0 for report in reports) == [0, 0, 5]


async def test_the_adopted_store_needs_no_confirmation(database_tenant: DatabaseTenant) -> None:
    await note_store(database_tenant.database, "old")
    await confirm_store(database_tenant.database, "old")
    await note_store(database_tenant.database, "new")
    assert (await note_store(database_tenant.database, "old")).known.confirmed_id is None


@pytest.mark.parametrize(("store", "may"), [("old", True), ("wrong", False)])
async def test_a_missing_workflow_is_lost_only_in_the_adopted_store(
    database_tenant: DatabaseTenant, store: str, may: bool
) -> None:
    async with database_tenant.database.transaction() as session:
        assert not await temporal_stores.is_conclusive(session, store)
    await note_store(database_tenant.database, "old")
    async with database_tenant.database.transaction() as session:
        assert await temporal_stores.is_conclusive(session, store) is may
    await note_store(database_tenant.database, "wrong")
    async with database_tenant.database.transaction() as session:
        assert not await temporal_stores.is_conclusive(session, store)


async def test_a_store_that_is_lost_during_a_recovery_begins_another_one(database_tenant: DatabaseTenant) -> None:
    some = await accept_notifications(database_tenant, 1, 3, 3)
    await claim_and_start(database_tenant.database, *some)
    assert await replace_store(database_tenant.database, "new") == 3
    await recover_batch(database_tenant.database, 2)
    await claim_and_start(database_tenant.database, *some[:2])
    await confirm_store(database_tenant.database, "newer")
    assert (await note_store(database_tenant.database, "newer")).lost == 3
    assert (await recover_batch(database_tenant.database)) is not None
    assert await due_ids(database_tenant) == set(some)
