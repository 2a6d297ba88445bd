"""Open the next window of a limit for the notifications that wait for it. Run by the leader. The evidence loop then
signals their workflows to check again."""

from storage import throttles
from storage.database import Database

POLL_INTERVAL = 2.0
WINDOW_BATCH_SIZE = 20
PURGE_BATCH_SIZE = 500
PURGE_INTERVAL = 60.0


class ThrottleTasks:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_next(self) -> float:
        async with self._database.statement() as session:
            left = await throttles.seconds_to_next(session)
        if left is None or left > 0:
            return POLL_INTERVAL if left is None else min(left, POLL_INTERVAL)
        async with self._database.transaction() as session:
            await throttles.open_next(session, WINDOW_BATCH_SIZE)
        return 0.0

    async def purge(self) -> float:
        async with self._database.transaction() as session:
            await throttles.purge(session, PURGE_BATCH_SIZE)
        return PURGE_INTERVAL
