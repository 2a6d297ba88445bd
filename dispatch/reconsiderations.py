"""Wakes what waits for a setting that a tenant has changed, batch by batch. Run by the dispatcher that leads."""

from dispatch.loops import OUTLIVED
from storage import reconsiderations, zone_changes
from storage.database import Database

LOOK_AGAIN = 2.0  # seconds: what a lost NOTIFY can delay
BATCH_SIZE = 500


class Reconsiderations:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def reconsider(self) -> float:
        try:
            async with self._database.transaction() as session:
                has_more = await reconsiderations.reconsider_batch(session, BATCH_SIZE, zone_changes.WORKS)
        except OUTLIVED:
            async with self._database.transaction() as session:
                await reconsiderations.postpone(session)
            raise
        return 0.0 if has_more else LOOK_AGAIN
