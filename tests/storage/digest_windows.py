"""Items and their windows as the API, the dispatcher and a digest's workflow treat them; for tests."""

from typing import Any
from uuid import UUID

from storage import digest_closing, digests
from storage.catalog import Catalog
from storage.digest_collection import collect_waiting
from storage.gates import move_to_digest as hand_over
from storage.ledgers import NotificationRef
from tests.storage.sends import DatabaseTenant

GROUP = "g"


async def accept_items(
    database_tenant: DatabaseTenant, count: int, group: str | None = GROUP, **more: Any
) -> list[UUID]:
    items = [database_tenant.new(digest_key=group, event_payload={"n": number}, **more) for number in range(count)]
    await database_tenant.accept(*items)
    return [item.id for item in items]


async def hand_over_item(database_tenant: DatabaseTenant, **more: Any) -> UUID:
    """One that a gate hands to the digest only now."""
    [id] = await accept_items(database_tenant, 1, group=None, **more)
    async with database_tenant.database.transaction() as session:
        await hand_over(session, NotificationRef(notification_id=id, tenant=database_tenant.tenant), 1, GROUP)
    return id


async def collect(database_tenant: DatabaseTenant, limit: int = 500) -> int:
    catalog = Catalog(database_tenant.database)
    async with database_tenant.database.transaction() as session:
        return await collect_waiting(session, catalog.type_by_id, limit)


async def close_filled(database_tenant: DatabaseTenant) -> int:
    async with database_tenant.database.transaction() as session:
        full_windows = await digests.list_full_windows(session, 50)
    return await close_each(database_tenant, full_windows)


async def close_overdue(database_tenant: DatabaseTenant) -> int:
    async with database_tenant.database.transaction() as session:
        overdue = await digests.list_overdue_windows(session, 10, 1_200, 50)
    return await close_each(database_tenant, overdue)


async def close_each(database_tenant: DatabaseTenant, windows: list[UUID]) -> int:
    closed = 0
    for id in windows:
        async with database_tenant.database.transaction() as session:
            closed += await digest_closing.close_unlocked_window(session, id)
    return closed


async def windows(database_tenant: DatabaseTenant) -> list[dict[str, Any]]:
    return await database_tenant.query(
        "SELECT * FROM digest WHERE tenant = :tenant ORDER BY id", tenant=database_tenant.tenant
    )


async def close_window(database_tenant: DatabaseTenant, id: UUID) -> bool:
    async with database_tenant.database.transaction() as session:
        return await digest_closing.close_window(session, id)


async def digest_notifications(database_tenant: DatabaseTenant) -> list[dict[str, Any]]:
    return await database_tenant.query(
        "SELECT * FROM notification WHERE tenant = :tenant AND digest_id IS NOT NULL AND digest_key IS NULL",
        tenant=database_tenant.tenant,
    )


async def statuses(database_tenant: DatabaseTenant, *ids: UUID) -> list[str]:
    rows = await database_tenant.query(
        "SELECT status FROM notification WHERE id = ANY(:ids) ORDER BY id", ids=list(ids)
    )
    return [row["status"] for row in rows]
