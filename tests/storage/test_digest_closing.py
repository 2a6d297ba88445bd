"""Close a window only after the items that were accepted before its end have joined it."""

from datetime import datetime, timedelta

import pytest

from storage import digest_closing
from storage.database import Database
from tests.storage.digest_windows import (
    GROUP,
    accept_items,
    close_overdue,
    collect,
    digest_notifications,
    windows,
)
from tests.storage.sends import DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres
A_SECOND, HALF_A_MINUTE = timedelta(seconds=1), timedelta(seconds=30)


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    return await open_database_tenant(database, digest={"window": "1h"})


async def end_windows(database_tenant: DatabaseTenant, ago: str = "0 s") -> None:
    await database_tenant.query(
        "UPDATE digest SET closes_at = now() - CAST(CAST(:ago AS text) AS interval) WHERE tenant = :tenant",
        ago=ago,
        tenant=database_tenant.tenant,
    )


async def close_group(database_tenant: DatabaseTenant) -> datetime | None:
    async with database_tenant.database.transaction() as session:
        return await digest_closing.close_group(session, database_tenant.tenant, GROUP)


async def item_counts(database_tenant: DatabaseTenant) -> list[int]:
    return [made["event_payload"]["total"] for made in await digest_notifications(database_tenant)]


async def test_a_window_waits_for_items_that_were_accepted_before_its_end(database_tenant: DatabaseTenant) -> None:
    await accept_items(database_tenant, 1)
    await collect(database_tenant)
    await accept_items(database_tenant, 1)  # while no worker collects
    await end_windows(database_tenant)
    [window] = await windows(database_tenant)
    retry_at = await close_group(database_tenant)
    assert retry_at is not None
    assert A_SECOND <= retry_at - window["closes_at"] <= HALF_A_MINUTE
    assert await item_counts(database_tenant) == []
    await collect(database_tenant)
    assert await close_group(database_tenant) is None
    assert await item_counts(database_tenant) == [2]


async def test_later_items_and_those_of_other_groups_delay_no_window(database_tenant: DatabaseTenant) -> None:
    await accept_items(database_tenant, 1)
    await collect(database_tenant)
    await accept_items(database_tenant, 99, group="another")
    await end_windows(database_tenant)
    await accept_items(database_tenant, 1)
    assert await close_group(database_tenant) is None
    assert await item_counts(database_tenant) == [1]
    await collect(database_tenant)


async def test_a_window_waits_while_a_hundred_items_of_its_tenant_wait(database_tenant: DatabaseTenant) -> None:
    """More are not searched for an item of the window."""
    await accept_items(database_tenant, 1)
    await collect(database_tenant)
    await accept_items(database_tenant, 100, group="another")
    await end_windows(database_tenant)
    assert await close_group(database_tenant) is not None
    await collect(database_tenant)
    assert await close_group(database_tenant) is None


async def test_an_overdue_window_waits_for_its_items(database_tenant: DatabaseTenant) -> None:
    await accept_items(database_tenant, 2)
    await collect(database_tenant, limit=1)
    await end_windows(database_tenant, "11 s")
    for change in ("queue_entry SET next_at", "notification SET created_at"):
        await database_tenant.query(
            f"UPDATE {change} = now() - interval '12 s' WHERE tenant = :tenant", tenant=database_tenant.tenant
        )
    assert await close_overdue(database_tenant) == 0
    await collect(database_tenant)
    assert await close_overdue(database_tenant) == 1
    assert await item_counts(database_tenant) == [2]


async def test_a_tick_fails_and_is_retried_until_a_due_window_has_its_items(database: Database) -> None:
    database_tenant = await open_database_tenant(database, digest={"schedule": "0 9 * * *"})
    await accept_items(database_tenant, 2)
    await collect(database_tenant, limit=1)
    await end_windows(database_tenant)

    async def close_due() -> int:
        async with database.transaction() as session:
            return await digest_closing.close_due(session, database_tenant.tenant, "order.shipped")

    with pytest.raises(digest_closing.ItemsNotCollected):
        await close_due()
    await collect(database_tenant)
    assert [await close_due(), await close_due()] == [1, 0]
    assert await item_counts(database_tenant) == [2]
