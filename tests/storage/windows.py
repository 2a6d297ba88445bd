"""Items and their windows as the API, the dispatcher and a digest's workflow treat them; for tests."""

from typing import Any
from uuid import UUID

from storage import digest_closing, digests
from storage.catalog import Catalog
from storage.digest_collection import collect_waiting
from storage.gates import collect as hand_over
from storage.ledgers import Key
from tests.storage.sends import Desk

GROUP = "g"


async def accept(desk: Desk, count: int, group: str | None = GROUP, **more: Any) -> list[UUID]:
    items = [desk.new(digest_group=group, event_payload={"n": number}, **more) for number in range(count)]
    await desk.accept(*items)
    return [item.id for item in items]


async def handed_over(desk: Desk, **more: Any) -> UUID:
    """One that a gate hands to the digest only now."""
    [id] = await accept(desk, 1, group=None, **more)
    async with desk.database.transaction() as session:
        await hand_over(session, Key(notification_id=id, tenant=desk.tenant), 1, GROUP)
    return id


async def collect(desk: Desk, limit: int = 500) -> int:
    catalog = Catalog(desk.database)
    async with desk.database.transaction() as session:
        return await collect_waiting(session, catalog.type_by_id, limit)


async def close_filled(desk: Desk) -> int:
    async with desk.database.transaction() as session:
        filled = await digests.filled(session, 50)
    return await close_each(desk, filled)


async def close_overdue(desk: Desk) -> int:
    async with desk.database.transaction() as session:
        overdue = await digests.overdue(session, 10, 1_200, 50)
    return await close_each(desk, overdue)


async def close_each(desk: Desk, windows: list[UUID]) -> int:
    closed = 0
    for id in windows:
        async with desk.database.transaction() as session:
            closed += await digests.close_one(session, id)
    return closed


async def windows(desk: Desk) -> list[dict[str, Any]]:
    return await desk.query("SELECT * FROM digest WHERE tenant = :tenant ORDER BY id", tenant=desk.tenant)


async def close(desk: Desk, *ids: UUID) -> int:
    async with desk.database.transaction() as session:
        return await digest_closing.close(session, ids)


async def made(desk: Desk) -> list[dict[str, Any]]:
    return await desk.query(
        "SELECT * FROM notification WHERE tenant = :tenant AND digest_id IS NOT NULL AND digest_group IS NULL",
        tenant=desk.tenant,
    )


async def statuses(desk: Desk, *ids: UUID) -> list[str]:
    rows = await desk.query("SELECT status FROM notification WHERE id = ANY(:ids) ORDER BY id", ids=list(ids))
    return [row["status"] for row in rows]
