"""Erase recipients with many notifications in batches. Run by the leader."""

from dispatch.background_loops import RECOVERABLE_ERRORS
from storage import erasures
from storage.database import Database

POLL_INTERVAL = 2.0  # seconds: the longest delay by a lost NOTIFY
BATCH_PAUSE = 0.05  # seconds between two batches


class ErasureTask:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase_batch(self) -> float:
        try:
            async with self._database.transaction() as session:
                has_more = await erasures.erase_next_batch(session)
        except RECOVERABLE_ERRORS:
            async with self._database.transaction() as session:
                await erasures.postpone_failed(session)
            raise
        return BATCH_PAUSE if has_more else POLL_INTERVAL
