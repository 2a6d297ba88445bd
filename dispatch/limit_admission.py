"""Admit notifications that wait for a limit: for the next window of a throttle, or for a place in the queue of a
provider with a rate. Run by the leader. Dispatchers then claim and resume them."""

from collections.abc import Sequence

from storage import claims, throttles
from storage.database import Database

POLL_INTERVAL = 2.0
ADMISSION_INTERVAL = 1.0
WINDOW_BATCH_SIZE = 20
PURGE_BATCH_SIZE = 500
PURGE_INTERVAL = 60.0


class LimitAdmissionTasks:
    def __init__(self, database: Database, providers: Sequence[str]) -> None:
        self._database = database
        self._providers = providers

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

    async def admit(self) -> float:
        """Admit waiting notifications to the queues of providers. Return the seconds until the next call."""
        async with self._database.statement() as session:
            busy = await claims.find_awaited_providers(session, self._providers)
        for name in busy:
            async with self._database.statement() as session:
                await claims.admit(session, name)
        return ADMISSION_INTERVAL
