"""Close a window once, and only after the items that were accepted before its end have joined it."""

import asyncio
from datetime import datetime, timedelta

import pytest

from domain.cancellation import cancel_notification
from domain.clock import now
from storage import digest_closing
from storage.database import Database
from storage.ledgers import NotificationRef, amend
from tests.storage.digest_windows import (
    GROUP,
    accept_items,
    close_overdue,
    close_window,
    collect,
    digest_notifications,
    statuses,
    windows,
)
from tests.storage.locks import until_blocked
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


async def test_closed_by_two_at_once_it_is_one_notification(database_tenant: DatabaseTenant) -> None:
    ids = await accept_items(database_tenant, 2)
    await collect(database_tenant)
    [window] = await windows(database_tenant)
    assert sorted(
        await asyncio.gather(close_window(database_tenant, window["id"]), close_window(database_tenant, window["id"]))
    ) == [0, 1]
    [one] = await digest_notifications(database_tenant)
    assert (one["event_payload"]["total"], one["status"], one["digest_id"]) == (2, "PENDING", window["id"])
    assert await statuses(database_tenant, *ids) == ["DIGESTED", "DIGESTED"]
    [closed] = await windows(database_tenant)
    assert closed["notification_id"] == one["id"]


async def test_an_item_that_comes_while_a_window_is_closed_opens_the_next(database_tenant: DatabaseTenant) -> None:
    await accept_items(database_tenant, 1)
    await collect(database_tenant)
    [window] = await windows(database_tenant)
    [late] = await accept_items(database_tenant, 1)
    async with database_tenant.database.transaction() as session:
        await digest_closing.close_window(session, window["id"])
        collecting = asyncio.create_task(collect(database_tenant))
        await until_blocked(database_tenant.database, collecting)
    await collecting
    first, second = await windows(database_tenant)
    assert (first["item_count"], second["item_count"], second["closed_at"]) == (1, 1, None)
    assert await statuses(database_tenant, late) == ["PENDING"]


async def test_an_item_canceled_during_the_closing_is_included_or_canceled(database_tenant: DatabaseTenant) -> None:
    [id] = await accept_items(database_tenant, 1)
    await collect(database_tenant)
    [window] = await windows(database_tenant)

    async def canceling() -> None:
        async with database_tenant.database.transaction() as session:
            await amend(
                session,
                NotificationRef(notification_id=id, tenant=database_tenant.tenant),
                lambda ledger: cancel_notification(ledger, now()),
            )

    async with database_tenant.database.transaction() as session:
        await digest_closing.close_window(session, window["id"])
        late = asyncio.create_task(canceling())
        await until_blocked(database_tenant.database, late)
    await late
    assert await statuses(database_tenant, id) == ["DIGESTED"]
    assert len(await digest_notifications(database_tenant)) == 1


async def test_an_overdue_window_is_closed_by_another_process(database_tenant: DatabaseTenant) -> None:
    await accept_items(database_tenant, 1)
    await collect(database_tenant)
    assert await close_overdue(database_tenant) == 0
    await database_tenant.query(
        "UPDATE digest SET closes_at = now() - interval '11 seconds' WHERE tenant = :t", t=database_tenant.tenant
    )
    assert await close_overdue(database_tenant) == 1
    assert len(await digest_notifications(database_tenant)) == 1
