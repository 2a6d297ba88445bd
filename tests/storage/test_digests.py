"""Store digest windows: each item is in one window, also under concurrency, and the window becomes a notification."""

import asyncio
from datetime import timedelta

import pytest

from domain.clock import now
from domain.names import DISPATCH_CHANNEL
from storage import digest_closing, digests, erasures
from storage.database import Database
from tests.storage.digest_windows import (
    accept_items,
    close_filled,
    close_window,
    collect,
    digest_notifications,
    hand_over_item,
    statuses,
    windows,
)
from tests.storage.sends import DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    return await open_database_tenant(database, digest={"window": "1h", "max_items": 5})


async def test_collected_twice_it_is_in_one_window(database_tenant: DatabaseTenant) -> None:
    await accept_items(database_tenant, 3)
    assert [await collect(database_tenant), await collect(database_tenant)] == [3, 0]
    [window] = await windows(database_tenant)
    assert (window["item_count"], window["signaled_at"], window["closed_at"]) == (3, None, None)


async def test_concurrent_collectors_open_one_window(database_tenant: DatabaseTenant) -> None:
    await accept_items(database_tenant, 4)
    taken = await asyncio.gather(*(collect(database_tenant, limit=2) for _ in range(3)))
    assert sum(taken) == 4
    assert [window["item_count"] for window in await windows(database_tenant)] == [4]


async def test_a_full_digest_window_closes_and_later_items_open_another(database_tenant: DatabaseTenant) -> None:
    ids = await accept_items(database_tenant, 12)
    await collect(database_tenant)
    assert (await close_filled(database_tenant), await close_filled(database_tenant)) == (2, 0)
    assert sorted(window["item_count"] for window in await windows(database_tenant)) == [2, 5, 5]
    assert sorted(await statuses(database_tenant, *ids)) == ["DIGESTED"] * 10 + ["PENDING"] * 2
    payloads = [row["event_payload"] for row in await digest_notifications(database_tenant)]
    assert sorted(item["n"] for payload in payloads for item in payload["items"]) == list(range(10))


async def test_a_full_unclosed_window_accepts_no_item(database_tenant: DatabaseTenant) -> None:
    """The process that filled the window was killed. The next collection opens another window."""
    await accept_items(database_tenant, 5)
    await collect(database_tenant)
    await accept_items(database_tenant, 1)
    await collect(database_tenant)
    assert [(window["item_count"], window["is_full"]) for window in await windows(database_tenant)] == [
        (5, True),
        (1, False),
    ]
    async with database_tenant.database.transaction() as session:
        pending = [
            window.closes_at
            for window in await digests.list_pending_windows(session, 10)
            if window.tenant == database_tenant.tenant
        ]
    assert pending == [window["closes_at"] for window in await windows(database_tenant) if not window["is_full"]]
    assert await close_filled(database_tenant) == 1
    assert [row["event_payload"]["total"] for row in await digest_notifications(database_tenant)] == [5]


async def test_a_digest_notification_is_created_at_its_closing_time(database_tenant: DatabaseTenant) -> None:
    [early] = await accept_items(database_tenant, 1)
    await collect(database_tenant)
    [window] = await windows(database_tenant)
    await close_window(database_tenant, window["id"])
    [late] = await accept_items(database_tenant, 1)
    [one] = await digest_notifications(database_tenant)
    assert one["id"].version == 7
    assert early < one["id"]
    assert str(one["id"])[:12] <= str(late)[:12]


async def test_a_digest_has_the_channels_and_tags_of_its_items(database_tenant: DatabaseTenant) -> None:
    await accept_items(database_tenant, 1, channels=["email"], tags=("a", "b"))
    await accept_items(database_tenant, 1, channels=["email"], tags=("b", "c"))
    await collect(database_tenant)
    [window] = await windows(database_tenant)
    await close_window(database_tenant, window["id"])
    [one] = await digest_notifications(database_tenant)
    assert (one["channels"], one["tags"]) == (["email"], ["a", "b", "c"])


async def test_each_end_has_one_event(database_tenant: DatabaseTenant) -> None:
    kept, canceled, old = await accept_items(database_tenant, 3)
    await collect(database_tenant)
    await database_tenant.query("UPDATE notification SET cancel_requested_at = now() WHERE id = :id", id=canceled)
    await database_tenant.query("UPDATE notification SET expires_at = now() WHERE id = :id", id=old)
    [window] = await windows(database_tenant)
    await close_window(database_tenant, window["id"])
    assert await statuses(database_tenant, kept, canceled, old) == ["DIGESTED", "CANCELED", "EXPIRED"]
    events = await database_tenant.query(
        "SELECT notification_id, kind, status FROM event WHERE tenant = :tenant AND status IS NOT NULL"
        " AND status <> 'PENDING' ORDER BY notification_id",
        tenant=database_tenant.tenant,
    )
    assert [(row["kind"], row["status"]) for row in events] == [
        ("digested", "DIGESTED"),
        ("canceled", "CANCELED"),
        ("expired", "EXPIRED"),
    ]


async def test_an_erased_recipient_gets_no_digest(database_tenant: DatabaseTenant) -> None:
    ids = await accept_items(database_tenant, 2)
    await collect(database_tenant)
    async with database_tenant.database.transaction() as session:
        await erasures.erase_at_once(session, database_tenant.tenant, database_tenant.recipient_id)
    [window] = await windows(database_tenant)
    assert not await close_window(database_tenant, window["id"])
    assert await statuses(database_tenant, *ids) == ["CANCELED", "CANCELED"]
    assert await digest_notifications(database_tenant) == []


async def test_an_item_with_a_time_of_its_own_waits_for_it(database_tenant: DatabaseTenant) -> None:
    await accept_items(database_tenant, 1, send_at=now() + timedelta(hours=1))
    assert await collect(database_tenant) == 0
    assert await windows(database_tenant) == []


async def test_an_item_with_a_workflow_is_collected_despite_send_first_immediately(database: Database) -> None:
    """Its workflow has ended, and no other may be started for it."""
    database_tenant = await open_database_tenant(database, digest={"window": "1h", "send_first_immediately": True})
    await hand_over_item(database_tenant)
    await collect(database_tenant)
    [window] = await windows(database_tenant)
    assert window["item_count"] == 1


async def test_the_first_item_is_sent_immediately_and_workers_are_notified(
    database: Database,
) -> None:
    database_tenant = await open_database_tenant(
        database, digest={"window": "1h", "send_first_immediately": True}, expires_in="2h"
    )
    [urgent] = await accept_items(database_tenant, 1, priority=2)
    [calm] = await accept_items(database_tenant, 1, group="other", priority=3, expires_in=timedelta(minutes=5))
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await database.dedicated()
    try:
        await listener.add_listener(DISPATCH_CHANNEL, lambda *arguments: heard.put_nowait(str(arguments[3])))
        await collect(database_tenant)
        assert {await asyncio.wait_for(heard.get(), 60) for _ in range(2)} == {"digest", "queue"}
    finally:
        await listener.close()
    rows = await database_tenant.query(
        "SELECT id, digest_key, expires_at - created_at AS lasts FROM notification WHERE tenant = :t",
        t=database_tenant.tenant,
    )
    assert {row["id"]: (row["digest_key"], row["lasts"]) for row in rows} == {
        urgent: (None, timedelta(hours=2)),
        calm: (None, timedelta(minutes=5)),
    }


MANY = """
INSERT INTO digest (id, tenant, notification_type, type_id, recipient_id, digest_key, closes_on_schedule, is_full,
       item_count, item_bytes,
       opened_at, closes_at, signaled_at)
SELECT gen_random_uuid(), :tenant, 'order.shipped', :type, 'ada', 'g' || i, true, :is_full, 1, 10, now(),
       now() - interval '1 hour', now() FROM generate_series(1, 3) i
"""


async def test_a_window_is_closed_in_a_transaction_of_its_own(database_tenant: DatabaseTenant) -> None:
    await database_tenant.query(MANY, is_full=False, tenant=database_tenant.tenant, type=database_tenant.type_id)
    closed = []
    for _ in range(4):
        async with database_tenant.database.transaction() as session:
            closed.append(await digest_closing.close_due(session, database_tenant.tenant, "order.shipped"))
    assert closed == [1, 1, 1, 0]


async def test_a_window_that_another_process_closes_is_skipped(database_tenant: DatabaseTenant) -> None:
    await database_tenant.query(MANY, is_full=True, tenant=database_tenant.tenant, type=database_tenant.type_id)
    [first, *_] = await windows(database_tenant)
    async with database_tenant.database.transaction() as session:
        assert await digest_closing.close_unlocked_window(session, first["id"])
        assert await close_filled(database_tenant) == 2
    assert await close_filled(database_tenant) == 0
