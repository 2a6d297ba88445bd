"""Wake notifications that wait for a setting that a tenant has changed, in batches. Run by the leader."""

from dispatch.background_loops import RECOVERABLE_ERRORS
from storage import reconsiderations
from storage.database import Database

POLL_INTERVAL = 2.0  # seconds: the longest delay by a lost NOTIFY
BATCH_SIZE = 500


class ReconsiderationTask:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def reconsider(self) -> float:
        try:
            async with self._database.transaction() as session:
                has_more = await reconsiderations.reconsider_batch(session, BATCH_SIZE)
        except RECOVERABLE_ERRORS:
            async with self._database.transaction() as session:
                await reconsiderations.postpone_failed(session)
            raise
        return 0.0 if has_more else POLL_INTERVAL
