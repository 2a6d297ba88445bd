"""Stores that processes see, and open notifications that were started in them."""

from uuid import UUID

from storage import recoveries, stores
from storage.database import Database
from storage.recoveries import RecoveredBatch
from storage.stores import StoreReport
from tests.storage.sends import Desk


async def seen(database: Database, store: str) -> StoreReport:
    async with database.quick_transaction() as session:
        return await stores.note_seen(session, store)


async def confirmed(database: Database, store: str) -> None:
    async with database.transaction() as session:
        await stores.confirm(session, store)


async def lost(database: Database, store: str = "new") -> int:
    """Another store is adopted after `old`: how many were open."""
    await seen(database, "old")
    await confirmed(database, store)
    open_ = (await seen(database, store)).lost
    assert open_ is not None
    return open_


async def batch(database: Database, limit: int = 500) -> RecoveredBatch | None:
    async with database.transaction() as session:
        return await recoveries.recover_batch(session, limit)


async def due(desk: Desk) -> set[UUID]:
    return {row["id"] for row in await desk.query("SELECT notification_id AS id FROM queue_entry WHERE state = 'due'")}
