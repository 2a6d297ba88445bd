"""Erases recipients with many notifications, batch by batch. Run by the dispatcher that leads."""

from dispatch.loops import OUTLIVED
from storage import large_erasures
from storage.database import Database

LOOK_AGAIN = 2.0  # seconds: what a lost NOTIFY can delay
PAUSE = 0.05  # seconds between two batches


class Erasures:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase(self) -> float:
        try:
            async with self._database.transaction() as session:
                has_more = await large_erasures.continue_batch(session)
        except OUTLIVED:
            async with self._database.transaction() as session:
                await large_erasures.postpone(session)
            raise
        return PAUSE if has_more else LOOK_AGAIN
