"""Collect, close, erase and change time zones concurrently without a deadlock."""

import asyncio
from dataclasses import replace

import pytest

from storage import digest_closing, erasures, recipients
from storage.catalog import Catalog
from storage.database import Database
from storage.digest_collection import collect_waiting
from tests.storage.digest_windows import accept_items, close_filled, close_window, collect, statuses, windows
from tests.storage.locks import until_blocked
from tests.storage.sends import DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    return await open_database_tenant(database, digest={"window": "1h", "max_items": 2})


async def test_an_erasure_before_a_window_closes_completes(database_tenant: DatabaseTenant) -> None:
    ids = await accept_items(database_tenant, 1)
    await collect(database_tenant)
    [window] = await windows(database_tenant)
    async with database_tenant.database.transaction() as session:
        await recipients.find(session, database_tenant.tenant, database_tenant.recipient_id, lock=True)
        closing = asyncio.create_task(close_window(database_tenant, window["id"]))
        await until_blocked(database_tenant.database, closing)
        await erasures.erase_at_once(session, database_tenant.tenant, database_tenant.recipient_id)
    assert not await closing
    assert await statuses(database_tenant, *ids) == ["CANCELED"]


async def test_an_erasure_during_the_closing_of_a_window_finds_the_digest(database_tenant: DatabaseTenant) -> None:
    await accept_items(database_tenant, 1)
    await collect(database_tenant)
    [window] = await windows(database_tenant)

    async with database_tenant.database.transaction() as session:
        await digest_closing.close_window(session, window["id"])
        erasing = asyncio.create_task(erase(database_tenant))
        await until_blocked(database_tenant.database, erasing)
    await erasing
    [one] = await database_tenant.query(
        "SELECT * FROM notification WHERE digest_key IS NULL AND tenant = :t", t=database_tenant.tenant
    )
    assert one["cancel_requested_at"] is not None
    assert one["event_payload"] == {}


async def test_an_erasure_of_a_digest_locks_no_recipient_during_its_closing(database_tenant: DatabaseTenant) -> None:
    database_tenant = await with_address_as_id(database_tenant)
    await accept_items(database_tenant, 1)
    await collect(database_tenant)
    [window] = await windows(database_tenant)
    async with database_tenant.database.transaction() as session:
        await session.execute(digest_closing.LOCK_WINDOW, {"id": window["id"]})
        erasing = asyncio.create_task(erase(database_tenant))
        await until_blocked(database_tenant.database, erasing)
        assert await digest_closing.close_window(session, window["id"])
    await erasing
    assert await names(database_tenant) == {"erased"}


async def test_an_erasure_renames_a_digest_that_was_being_opened(database_tenant: DatabaseTenant) -> None:
    database_tenant = await with_address_as_id(database_tenant)
    await accept_items(database_tenant, 1)
    async with database_tenant.database.transaction() as session:
        assert await collect_waiting(session, Catalog(database_tenant.database).type_by_id, 10) == 1
        erasing = asyncio.create_task(erase(database_tenant))
        await until_blocked(database_tenant.database, erasing)
    await erasing
    assert await names(database_tenant) == {"erased"}


async def with_address_as_id(database_tenant: DatabaseTenant) -> DatabaseTenant:
    database_tenant = replace(database_tenant, recipient_id="ada@example.com")
    async with database_tenant.database.transaction() as session:
        await recipients.replace_profile(session, database_tenant.tenant, database_tenant.recipient_id, {})
    return database_tenant


async def names(database_tenant: DatabaseTenant) -> set[str]:
    """Of recipients whose digests and notifications there are; `erased` without the id of the erasure."""
    rows = [
        *await windows(database_tenant),
        *await database_tenant.query("SELECT * FROM notification WHERE tenant = :t", t=database_tenant.tenant),
    ]
    return {row["recipient_id"].partition("-")[0] for row in rows}


async def erase(database_tenant: DatabaseTenant) -> None:
    async with database_tenant.database.transaction() as session:
        await erasures.erase_at_once(session, database_tenant.tenant, database_tenant.recipient_id)


async def test_adding_an_item_does_not_wait_for_its_recipient(database_tenant: DatabaseTenant) -> None:
    """It holds their items, for which the erasure waits."""
    ids = await accept_items(database_tenant, 2)
    async with database_tenant.database.transaction() as session:
        await recipients.find(session, database_tenant.tenant, database_tenant.recipient_id, lock=True)
        assert await asyncio.wait_for(collect(database_tenant), 60) == 2
        await erasures.erase_at_once(session, database_tenant.tenant, database_tenant.recipient_id)
    await close_filled(database_tenant)
    assert await statuses(database_tenant, *ids) == ["CANCELED", "CANCELED"]


async def test_a_wait_for_a_closing_window_locks_no_item(database_tenant: DatabaseTenant) -> None:
    """The window waits for the erasure, and that for the items."""
    await accept_items(database_tenant, 1)
    await collect(database_tenant)
    [window] = await windows(database_tenant)
    await accept_items(database_tenant, 1)
    async with database_tenant.database.transaction() as session:
        await recipients.find(session, database_tenant.tenant, database_tenant.recipient_id, lock=True)
        closing = asyncio.create_task(close_window(database_tenant, window["id"]))
        await until_blocked(database_tenant.database, closing)
        collecting = asyncio.create_task(collect(database_tenant))
        await until_blocked(database_tenant.database, collecting, already_blocked=1)
        await erasures.erase_at_once(session, database_tenant.tenant, database_tenant.recipient_id)
    assert (await closing, await collecting) == (False, 1)


async def test_a_profile_change_does_not_wait_for_its_notifications(database_tenant: DatabaseTenant) -> None:
    """A closing window locks a notification and may wait for the windows of the changed recipient."""
    async with database_tenant.database.transaction() as closing, database_tenant.database.transaction() as session:
        assert await recipients.lock_known(closing, database_tenant.tenant, [database_tenant.recipient_id])
        merging = recipients.merge_profile(
            session, database_tenant.tenant, database_tenant.recipient_id, {"timezone": "Asia/Tokyo"}
        )
        assert await asyncio.wait_for(merging, 60) is not None
