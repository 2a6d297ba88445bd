"""Start workflows of a lost store again, in batches. Run by the leader.

The next batch becomes due when half of the previous one has been started, so that new notifications do not wait for
all of them.
"""

import time
from uuid import UUID

import structlog

from storage import engine_state
from storage.database import Database

log = structlog.get_logger(__name__)

POLL_INTERVAL = 2.0  # seconds: the longest delay by a lost NOTIFY
BATCH_POLL_INTERVAL = 0.25
BATCH_SIZE = 500
# Entries that Temporal refuses do not block the others.
BATCH_TIMEOUT = 60.0


class StoreRecoveryTask:
    def __init__(self, database: Database, batch_size: int = BATCH_SIZE) -> None:
        self._database = database
        self._batch_size = batch_size
        self._batch: list[UUID] = []
        self._batch_started_at = 0.0

    async def recover(self) -> float:
        if await self._is_batch_waiting():
            return BATCH_POLL_INTERVAL
        async with self._database.statement() as session:
            if not await engine_state.is_recovering(session):
                self._batch = []
                return POLL_INTERVAL
        async with self._database.transaction() as session:
            batch = await engine_state.recover_batch(session, self._batch_size)
        if batch is None:
            self._batch = []
            return POLL_INTERVAL
        self._batch, self._batch_started_at = batch.ids, time.monotonic()
        left = 0 if batch.is_last else max(0, batch.total - batch.done)
        log.info("open notifications of a lost store are due again", done=batch.done, left=left)
        return POLL_INTERVAL if batch.is_last else BATCH_POLL_INTERVAL

    async def _is_batch_waiting(self) -> bool:
        if not self._batch or time.monotonic() - self._batch_started_at > BATCH_TIMEOUT:
            return False
        async with self._database.transaction() as session:
            return await engine_state.count_unstarted(session, self._batch) > self._batch_size // 2
