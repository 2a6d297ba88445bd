"""Wakes what waits for a setting that a tenant has changed, batch by batch. Run by the dispatcher that leads."""

from dispatch.loops import RECOVERABLE_ERRORS
from storage import reconsiderations, tenant_timezone_changes
from storage.database import Database

POLL_INTERVAL = 2.0  # seconds: what a lost NOTIFY can delay
BATCH_SIZE = 500


class ReconsiderationTask:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def reconsider(self) -> float:
        try:
            async with self._database.transaction() as session:
                has_more = await reconsiderations.reconsider_batch(
                    session, BATCH_SIZE, tenant_timezone_changes.BATCH_HANDLERS
                )
        except RECOVERABLE_ERRORS:
            async with self._database.transaction() as session:
                await reconsiderations.postpone_failed(session)
            raise
        return 0.0 if has_more else POLL_INTERVAL
