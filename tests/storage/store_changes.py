"""Stores that processes see, and open notifications that were started in them."""

from uuid import UUID

from storage import engine_state
from storage.database import Database
from storage.engine_state import RecoveredBatch, StoreReport
from tests.storage.sends import DatabaseTenant


async def note_store(database: Database, store: str) -> StoreReport:
    async with database.quick_transaction() as session:
        return await engine_state.record_observation(session, store)


async def confirm_store(database: Database, store: str) -> None:
    async with database.transaction() as session:
        await engine_state.confirm_replacement(session, store)


async def replace_store(database: Database, store: str = "new") -> int:
    """Another store is adopted after `old`: how many were open."""
    await note_store(database, "old")
    await confirm_store(database, store)
    open_ = (await note_store(database, store)).lost
    assert open_ is not None
    return open_


async def recover_batch(database: Database, limit: int = 500) -> RecoveredBatch | None:
    async with database.transaction() as session:
        return await engine_state.recover_batch(session, limit)


async def due_ids(database_tenant: DatabaseTenant) -> set[UUID]:
    return {
        row["id"]
        for row in await database_tenant.query("SELECT notification_id AS id FROM queue_entry WHERE state = 'due'")
    }
