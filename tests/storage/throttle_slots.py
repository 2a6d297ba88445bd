"""Requests for slots of a limit, and the windows in which they are counted, for tests."""

from datetime import timedelta

from sqlalchemy import text

from domain.throttles import CountedLimit
from domain.timing import FrequencyLimit
from storage import throttles
from storage.throttles import SlotRequest
from tests.storage.sends import DatabaseSend, DatabaseTenant

HOUR = timedelta(hours=1)


def asker(sent: DatabaseSend, priority: int = 3) -> SlotRequest:
    return SlotRequest(notification_id=sent.id, generation=1, tenant=sent.database_tenant.tenant, priority=priority)


def limit(max_count: int, key: str = "key") -> CountedLimit:
    return CountedLimit(key=key, limit=FrequencyLimit(max_count=max_count, per=HOUR))


async def ask(sent: DatabaseSend, *claimed: CountedLimit, priority: int = 3) -> bool:
    """Whether it got its slots; else it waits for them."""
    who = asker(sent, priority)
    async with sent.database_tenant.database.transaction() as session:
        full = await throttles.acquire_slots(session, who, claimed)
        if full:
            await throttles.enqueue(session, who, full)
        state = "waiting" if full else "started"
        values = {"state": state, "id": sent.id}
        await session.execute(text("UPDATE queue_entry SET state = :state WHERE notification_id = :id"), values)
    return not full


async def over(database_tenant: DatabaseTenant) -> None:
    """The windows end now."""
    await database_tenant.query(
        "UPDATE throttle_window SET starts_at = now() - (ends_at - starts_at), ends_at = now() WHERE tenant = :tenant",
        tenant=database_tenant.tenant,
    )


async def open_next_windows(database_tenant: DatabaseTenant) -> set[object]:
    """End the windows and return the notifications that resume."""
    await database_tenant.query(
        "UPDATE queue_entry SET state = 'started' WHERE state = 'due' AND tenant = :id", id=database_tenant.tenant
    )
    await over(database_tenant)
    async with database_tenant.database.transaction() as session:
        await throttles.open_next(session, 100)
    resumed = await database_tenant.query(
        "SELECT notification_id FROM queue_entry WHERE state = 'due' AND tenant = :tenant",
        tenant=database_tenant.tenant,
    )
    return {row["notification_id"] for row in resumed}


async def open_next(database_tenant: DatabaseTenant) -> None:
    async with database_tenant.database.transaction() as session:
        await throttles.open_next(session, 100)
